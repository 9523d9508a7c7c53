// Reads questions from standard input, writes what the simulator answers to each: its verdict, or its
// objection where it does not know such an action, resource or condition key.
import { createRequire } from 'node:module'
import { readFileSync } from 'node:fs'

// from the folder that it was installed into
const require = createRequire(process.argv[2] + '/')
const { runSimulation } = require('@cloud-copilot/iam-simulate')

const nothing = { serviceControlPolicies: [], resourceControlPolicies: [] }
const answers = []
for (const each of JSON.parse(readFileSync(0, 'utf8'))) {
  const identityPolicies = [
    { name: 'all', policy: { Version: '2012-10-17', Statement: each.statements } }
  ]
  const request = {
    principal: each.principal,
    action: each.action,
    resource: { resource: each.resource, accountId: each.account },
    contextVariables: each.context
  }
  const found = await runSimulation({ request, identityPolicies, ...nothing }, {})
  answers.push(found.overallResult ?? found.errors?.message ?? found.resultType)
}
console.log(JSON.stringify(answers))

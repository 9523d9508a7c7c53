"""The CloudFormation stack: deployed, examined, destroyed."""

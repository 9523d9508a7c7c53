variable "folder" {
  description = "Where featuremill-cloud.json is kept and the results are put; it must be there."
  type        = string
  default     = "."
}

variable "featuremill" {
  description = "The command."
  type        = string
  default     = "featuremill"
}

variable "stack" {
  description = "Name of the stack."
  type        = string
  default     = "featuremill"
}

variable "region" {
  description = "Where everything is, in the EU: the command refuses others."
  type        = string
  default     = "eu-west-1"
}

variable "architecture" {
  description = "x86_64 or arm64."
  type        = string
  default     = "x86_64"
}

variable "budget" {
  description = "USD a month, for alerts."
  type        = number
  default     = 10
}

variable "email" {
  description = "Where alerts go; empty for nowhere."
  type        = string
  default     = ""
}

variable "images" {
  description = "Folder of images to send, run and fetch the results of; null for the stack alone."
  type        = string
  default     = null
}

variable "name" {
  description = "Of the results."
  type        = string
  default     = "main"
}

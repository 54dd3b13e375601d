variable "name" {
  description = "Prefix of every name."
  type        = string
}

variable "region" {
  description = "Region that the function runs in."
  type        = string
}

variable "table_name" {
  description = "The table whose stream is read and whose counters are settled."
  type        = string
}

variable "table_arn" {
  description = "ARN of that table."
  type        = string
}

variable "stream_arn" {
  description = "ARN of the table's stream."
  type        = string
}

variable "zip" {
  description = "Path of the function's code, as ./taskw lambda:package makes it."
  type        = string
}

variable "architecture" {
  description = "Machine type of the function: arm64 or x86_64."
  type        = string

  validation {
    condition     = contains(["arm64", "x86_64"], var.architecture)
    error_message = "architecture must be arm64 or x86_64."
  }
}

variable "memory_mib" {
  description = "Memory of the function, in MiB. CPU comes with it: 1769 are one vCPU."
  type        = number
}

variable "metrics" {
  description = "Whether the mapping reports what it reads, so that an alarm can tell when it is off. Emulators do not know this."
  type        = bool
}

variable "tumbling_window_s" {
  description = "Seconds of the mapping's tumbling window, which makes AWS name the shard; 0 for none (emulators)."
  type        = number

  validation {
    condition     = floor(var.tumbling_window_s) == var.tumbling_window_s && var.tumbling_window_s >= 0 && var.tumbling_window_s <= 900
    error_message = "tumbling_window_s must be a whole number from 0 to 900."
  }
}

variable "log_retention_days" {
  description = "Days that the function's log is kept."
  type        = number
}

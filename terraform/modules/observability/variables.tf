variable "name" {
  description = "Prefix of every name."
  type        = string
}

variable "region" {
  description = "Region of the metrics."
  type        = string
}

variable "api" {
  description = "Whether there is the API, with a load balancer and a log to watch."
  type        = bool
}

variable "table_name" {
  description = "The table."
  type        = string
}

variable "function_name" {
  description = "The stream Lambda."
  type        = string
}

variable "function_log_group_name" {
  description = "Log group of the stream Lambda."
  type        = string
}

variable "mapping_id" {
  description = "Id of the mapping from the stream to the Lambda."
  type        = string
}

variable "api_log_group_name" {
  description = "Log group of the API and of its sweeps; null without the API."
  type        = string
}

variable "sweep_interval_minutes" {
  description = "Minutes between two sweeps; null as long as there are none, and then there is no alarm on drift."
  type        = number
}

variable "dead_letter_queue_name" {
  description = "The queue of records that could not be settled."
  type        = string
}

variable "load_balancer_suffix" {
  description = "The load balancer's name in metrics; null without the API."
  type        = string
}

variable "target_group_suffix" {
  description = "The target group's name in metrics; null without the API."
  type        = string
}

variable "alarms" {
  description = "Whether there are alarms."
  type        = bool
}

variable "alarm_topic_arns" {
  description = "SNS topics that alarms are sent to, and their ends."
  type        = list(string)
}

variable "iterator_age_max_s" {
  description = "Age of the oldest unsettled record, in seconds, from which the alarm sounds."
  type        = number
}

variable "api_errors_max" {
  description = "Answers of 5xx a minute from which the alarm sounds."
  type        = number
}

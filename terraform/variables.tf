variable "name" {
  description = "Name of the table and prefix of every other name."
  type        = string
  default     = "distributed-counter"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,26}[a-z0-9]$", var.name))
    error_message = "name must be 3 to 28 characters of a-z, 0-9 and -, begin with a letter and not end with -; a load balancer's name is no longer."
  }
}

variable "region" {
  description = "AWS region."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region must be an AWS region such as eu-central-1."
  }
}

variable "endpoint_url" {
  description = "Address of an emulator of AWS; null is AWS itself."
  type        = string
  default     = null

  validation {
    condition     = var.endpoint_url == null || can(regex("^https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?$", var.endpoint_url))
    error_message = "endpoint_url must be an emulator's address without a path, such as http://127.0.0.1:4566; leave it out for AWS."
  }
}

# Table and stream

variable "deletion_protection" {
  description = "Whether AWS refuses to delete the table and the load balancer, and Terraform the repository with its images. Set it to false and apply, before you destroy."
  type        = bool
  default     = true
}

variable "lambda_zip" {
  description = "Path of the stream Lambda's code, from this folder."
  type        = string
  default     = "../build/stream_lambda.zip"

  validation {
    condition     = fileexists(var.lambda_zip)
    error_message = "There is no file ${var.lambda_zip}: run ./taskw lambda:package, which makes it."
  }
}

variable "lambda_memory_mib" {
  description = "Memory of the stream Lambda, in MiB. CPU comes with it: 1769 are one vCPU."
  type        = number
  default     = 1769

  validation {
    condition     = var.lambda_memory_mib >= 128 && var.lambda_memory_mib <= 10240 && floor(var.lambda_memory_mib) == var.lambda_memory_mib
    error_message = "lambda_memory_mib must be a whole number from 128 to 10240, as Lambda has no other sizes; 1769 give it one vCPU."
  }
}

variable "tumbling_window_s" {
  description = "Seconds of the stream's tumbling window. AWS names the shard only with one, and the Lambda then insists on it. 0, for emulators, is no window."
  type        = number
  default     = 60

  validation {
    condition     = floor(var.tumbling_window_s) == var.tumbling_window_s && var.tumbling_window_s >= 0 && var.tumbling_window_s <= 900
    error_message = "tumbling_window_s must be a whole number from 0 to 900."
  }

  validation {
    condition     = var.endpoint_url != null || var.tumbling_window_s > 0
    error_message = "tumbling_window_s must be 1 to 900 on AWS: without a window nobody names the shard, and counts would be wrong."
  }
}

variable "architecture" {
  description = "Machine type of Lambda and API: arm64 or x86_64."
  type        = string
  default     = "arm64"

  validation {
    condition     = contains(["arm64", "x86_64"], var.architecture)
    error_message = "architecture must be arm64 or x86_64."
  }
}

# API

variable "api" {
  description = "Whether there is the API: network, repository, service, load balancer and sweeps. LocalStack's community edition has no ECS, ECR and load balancers: false leaves table, stream, Lambda and queue."
  type        = bool
  default     = true
}

variable "api_image" {
  description = "The API's image, with a tag or a digest; null (before the first push) makes everything but the service."
  type        = string
  default     = null

  validation {
    condition     = var.api_image == null || can(regex("^[a-z0-9][^\\s]*(:[A-Za-z0-9._-]+|@sha256:[0-9a-f]{64})$", var.api_image))
    error_message = "api_image must name an image with a tag or a digest, such as the output repository_url followed by :v1."
  }
}

variable "served_image" {
  description = "The API's image that served last, which sweeps run and later applies keep: ./taskw deploy sets it. null (before the first) makes no sweeps."
  type        = string
  default     = null

  validation {
    condition     = var.served_image == null || can(regex("^[a-z0-9][^\\s]*(:[A-Za-z0-9._-]+|@sha256:[0-9a-f]{64})$", var.served_image))
    error_message = "served_image must name an image with a tag or a digest, such as the api_image that was deployed before."
  }
}

variable "api_task_cpu" {
  description = "CPU of a task of the API in Fargate's units. A process uses one core, 1024."
  type        = number
  default     = 1024

  validation {
    condition     = contains([256, 512, 1024, 2048, 4096], var.api_task_cpu)
    error_message = "api_task_cpu must be 256, 512, 1024, 2048 or 4096."
  }
}

variable "api_task_memory_mib" {
  description = "Memory of a task of the API, in MiB: 2 to 8 for each unit of CPU."
  type        = number
  default     = 2048

  validation {
    condition     = var.api_task_memory_mib >= 2 * var.api_task_cpu && var.api_task_memory_mib <= min(8 * var.api_task_cpu, 30720) && (var.api_task_memory_mib % 1024 == 0 || var.api_task_memory_mib == 512)
    error_message = "api_task_memory_mib must be a multiple of 1024 (or 512) from 2 to 8 times api_task_cpu, and 30720 at most: Fargate has no other sizes."
  }
}

variable "api_autoscaling" {
  description = "Whether the number of tasks follows the load; else it is api_tasks_min. To switch replaces the service: nothing serves for about a minute."
  type        = bool
  default     = true
}

variable "api_tasks_min" {
  description = "Least number of tasks of the API."
  type        = number
  default     = 2

  validation {
    condition     = var.api_tasks_min >= 0 && floor(var.api_tasks_min) == var.api_tasks_min
    error_message = "api_tasks_min must be a whole number, 0 or more; 2 survive the loss of a zone."
  }
}

variable "api_tasks_max" {
  description = "Greatest number of tasks of the API, with api_autoscaling."
  type        = number
  default     = 10

  validation {
    condition     = (var.api_tasks_max >= max(var.api_tasks_min, 1) || !var.api_autoscaling) && var.api_tasks_max >= 1 && var.api_tasks_max <= 1000 && floor(var.api_tasks_max) == var.api_tasks_max
    error_message = "api_tasks_max must be a whole number from api_tasks_min (at least 1) to 1000."
  }
}

variable "api_cpu_target_percent" {
  description = "Average CPU that the number of tasks is adjusted to."
  type        = number
  default     = 60

  validation {
    condition     = var.api_cpu_target_percent >= 10 && var.api_cpu_target_percent <= 90
    error_message = "api_cpu_target_percent must be 10 to 90: beyond that nothing is left for the time until new tasks are there."
  }
}

variable "api_requests_per_task_target" {
  description = "Requests a minute and task that the number of tasks is adjusted to."
  type        = number
  default     = 60000

  validation {
    condition     = var.api_requests_per_task_target >= 1
    error_message = "api_requests_per_task_target must be 1 or more requests a minute."
  }
}

variable "operation_deadline_ms" {
  description = "Longest time to an answer of the API, in milliseconds."
  type        = number
  default     = 5000

  validation {
    condition     = var.operation_deadline_ms >= 100 && var.operation_deadline_ms <= 5000 && floor(var.operation_deadline_ms) == var.operation_deadline_ms
    error_message = "operation_deadline_ms must be a whole number from 100 to 5000, as the API itself demands."
  }
}

variable "heal_after_s" {
  description = "Seconds after which nothing that was reserved before can become an entry any more, so that healing is safe: 2100 on AWS, as two requests may each be 15 minutes late there."
  type        = number
  default     = 2100

  validation {
    condition     = var.heal_after_s >= 15 && var.heal_after_s <= 86400 && floor(var.heal_after_s) == var.heal_after_s
    error_message = "heal_after_s must be a whole number from 15 to 86400."
  }
}

variable "own_ids_in_batches" {
  description = "Whether services under callers' own ids that come together are stored with one call; not with an emulator whose stream misses PartiQL."
  type        = bool
  default     = true
}

variable "services_slots" {
  description = "Partitions of each new account's ledger; one takes 1,000 pages of creates, and deletes, a second."
  type        = number
  default     = 1

  validation {
    condition     = var.services_slots >= 1 && var.services_slots <= 64 && floor(var.services_slots) == var.services_slots
    error_message = "services_slots must be a whole number from 1 to 64."
  }
}

variable "max_connections" {
  description = "Most connections that a task of the API has at a time; more get 503."
  type        = number
  default     = 3000

  validation {
    condition     = var.max_connections >= 1 && var.max_connections <= 65000 && floor(var.max_connections) == var.max_connections
    error_message = "max_connections must be a whole number from 1 to 65000: a task of Fargate may open 65535 files, and the API needs 512 of them for itself."
  }
}

variable "sweep_interval_minutes" {
  description = "Minutes between two sweeps, which heal drifted counters and measure drift. Each reads every account once."
  type        = number
  default     = 15

  validation {
    condition     = var.sweep_interval_minutes >= 5 && var.sweep_interval_minutes <= 360 && floor(var.sweep_interval_minutes) == var.sweep_interval_minutes
    error_message = "sweep_interval_minutes must be a whole number from 5 to 360: an alarm looks back over four sweeps, and a day at most."
  }
}

variable "log_level" {
  description = "Least level that the API logs."
  type        = string
  default     = "INFO"

  validation {
    condition     = contains(["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], var.log_level)
    error_message = "log_level must be DEBUG, INFO, WARNING, ERROR or CRITICAL."
  }
}

# Network

variable "vpc_cidr" {
  description = "Addresses of the VPC: /16 to /22. It is cut into 16 subnets."
  type        = string
  default     = "10.20.0.0/16"

  validation {
    condition = try(
      cidrhost(var.vpc_cidr, 0) == split("/", var.vpc_cidr)[0] &&
      tonumber(split("/", var.vpc_cidr)[1]) >= 16 && tonumber(split("/", var.vpc_cidr)[1]) <= 22,
      false,
    )
    error_message = "vpc_cidr must be an IPv4 network of size /16 to /22 that begins at its own address, such as 10.20.0.0/16."
  }
}

variable "zones" {
  description = "Letters of the availability zones to spread over, two to four. null takes the first two that the account has in the region. Each adds to the price of the endpoints."
  type        = list(string)
  default     = null

  validation {
    condition     = var.zones == null ? true : length(distinct(var.zones)) == length(var.zones) && contains([2, 3, 4], length(var.zones)) && alltrue([for letter in var.zones : can(regex("^[a-z]$", letter))])
    error_message = "zones must be two to four letters, such as [\"a\", \"b\"]: a load balancer needs two zones."
  }
}

variable "interface_endpoints" {
  description = "Whether ECR and CloudWatch Logs have endpoints in the VPC; without a route to the internet, tasks need them."
  type        = bool
  default     = true

  validation {
    condition     = var.interface_endpoints || var.endpoint_url != null
    error_message = "interface_endpoints must be true on AWS: the tasks have no other way to their image and log."
  }
}

variable "endpoint_policies" {
  description = "Whether the gateway endpoints lead only to the table and to ECR's layers."
  type        = bool
  default     = true

  validation {
    condition     = var.endpoint_policies || var.endpoint_url != null
    error_message = "endpoint_policies must be true on AWS: through a gateway without a policy, anything can be carried to any account."
  }
}

variable "public" {
  description = "Whether the load balancer is on the internet. The API asks nobody who they are: see allowed_cidrs."
  type        = bool
  default     = false
}

variable "allowed_cidrs" {
  description = "Networks that may call the API, beside the VPC itself."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for cidr in var.allowed_cidrs : !strcontains(cidr, ":") && try(cidrhost(cidr, 0) == split("/", cidr)[0], false)])
    error_message = "allowed_cidrs must be IPv4 networks that begin at their own address, such as 203.0.113.0/24 or, for one host, 203.0.113.7/32."
  }

  validation {
    # Two halves are the whole, too: nobody has a network larger than /8.
    condition     = var.allow_everyone || alltrue([for cidr in var.allowed_cidrs : try(tonumber(split("/", cidr)[1]) >= 8, true)])
    error_message = "allowed_cidrs must not be the whole internet, or a network larger than /8: the API asks nobody who they are. Name the callers' networks, or set allow_everyone to true if everybody is to read and change every account."
  }

  validation {
    condition     = var.certificate_arn != null || alltrue([for cidr in var.allowed_cidrs : try(tonumber(split("/", cidr)[1]) >= 8, true)])
    error_message = "allowed_cidrs must not be the whole internet without a certificate_arn: name the callers' networks, or serve HTTPS."
  }
}

variable "allow_everyone" {
  description = "Whether allowed_cidrs may hold the whole internet. The API asks nobody who they are: everybody may then read and change every account."
  type        = bool
  default     = false
}

variable "certificate_arn" {
  description = "ARN of an ACM certificate for HTTPS; null serves plain HTTP."
  type        = string
  default     = null

  validation {
    condition     = var.certificate_arn == null || can(regex("^arn:[a-z-]+:acm:${var.region}:[0-9]{12}:certificate/.+$", var.certificate_arn))
    error_message = "certificate_arn must be the ARN of an ACM certificate in the same region: arn:aws:acm:${var.region}:ACCOUNT:certificate/ID."
  }
}

# Observability

variable "log_retention_days" {
  description = "Days that logs are kept."
  type        = number
  default     = 365

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days must be one of CloudWatch's own, such as 7, 30, 90 or 365."
  }
}

variable "alarms" {
  description = "Whether there are alarms."
  type        = bool
  default     = true
}

variable "alarm_topic_arns" {
  description = "SNS topics that alarms are sent to; none means that alarms show only in CloudWatch."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for arn in var.alarm_topic_arns : can(regex("^arn:[a-z-]+:sns:", arn))])
    error_message = "alarm_topic_arns must be ARNs of SNS topics: arn:aws:sns:REGION:ACCOUNT:NAME."
  }
}

variable "iterator_age_max_s" {
  description = "Age of the oldest unsettled record, in seconds, from which an alarm sounds."
  type        = number
  default     = 60

  validation {
    condition     = var.iterator_age_max_s >= 1 && var.iterator_age_max_s <= 82800
    error_message = "iterator_age_max_s must be 1 to 82800: after 23 hours records are given up."
  }
}

variable "api_errors_max" {
  description = "Answers of 5xx a minute from which an alarm sounds."
  type        = number
  default     = 5

  validation {
    condition     = var.api_errors_max >= 1
    error_message = "api_errors_max must be 1 or more answers a minute."
  }
}

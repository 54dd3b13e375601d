# The stream Lambda: what makes its counts right, and what it may do.

mock_provider "aws" {
  mock_resource "aws_sqs_queue" {
    defaults = { arn = "arn:aws:sqs:us-east-1:111122223333:settling-dead-letters", url = "https://queue" }
  }

  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws:logs:us-east-1:111122223333:log-group:/aws/lambda/settling-settle" }
  }

  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::111122223333:role/settling-settle" }
  }

  mock_resource "aws_lambda_function" {
    defaults = { arn = "arn:aws:lambda:us-east-1:111122223333:function:settling-settle" }
  }
}

variables {
  name               = "settling"
  region             = "us-east-1"
  memory_mib         = 1769
  metrics            = true
  table_name         = "settling"
  table_arn          = "arn:aws:dynamodb:us-east-1:111122223333:table/settling"
  stream_arn         = "arn:aws:dynamodb:us-east-1:111122223333:table/settling/stream/2026-01-01T00:00:00.000"
  zip                = "versions.tf" # Any file that is there will do.
  architecture       = "arm64"
  tumbling_window_s  = 60
  log_retention_days = 365
}

run "a_window_makes_aws_name_the_shard_and_the_function_insist" {
  module { source = "./modules/stream_lambda" }

  assert {
    condition     = aws_lambda_event_source_mapping.stream.tumbling_window_in_seconds == 60
    error_message = "Without a window AWS names no shard."
  }

  assert {
    condition     = aws_lambda_function.this.environment[0].variables["REQUIRE_SHARD_ID"] == "true"
    error_message = "With a window, an event without a shard must be an error."
  }

  assert {
    condition     = aws_lambda_event_source_mapping.stream.parallelization_factor == 1
    error_message = "Two invocations at once on one shard would settle out of order."
  }
}

run "without_a_window_nothing_insists" {
  module { source = "./modules/stream_lambda" }
  variables { tumbling_window_s = 0 }

  assert {
    condition     = aws_lambda_function.this.environment[0].variables["REQUIRE_SHARD_ID"] == "false"
    error_message = "An emulator names no shard; insisting would settle nothing."
  }
}

run "failures_are_retried_bounded_by_age_and_reported" {
  module { source = "./modules/stream_lambda" }

  assert {
    condition = (
      aws_lambda_event_source_mapping.stream.bisect_batch_on_function_error &&
      aws_lambda_event_source_mapping.stream.maximum_retry_attempts == -1 &&
      aws_lambda_event_source_mapping.stream.maximum_record_age_in_seconds == 82800
    )
    error_message = "A batch is retried until it is 23 h old, and divided meanwhile."
  }

  assert {
    condition     = aws_lambda_event_source_mapping.stream.destination_config[0].on_failure[0].destination_arn == aws_sqs_queue.dead_letters.arn
    error_message = "What is given up is told to the dead-letter queue."
  }
}

run "only_changes_of_ledgers_are_sent" {
  module { source = "./modules/stream_lambda" }

  assert {
    condition = jsondecode(one(one(aws_lambda_event_source_mapping.stream.filter_criteria).filter).pattern) == {
      dynamodb = { Keys = { PK = { S = [{ prefix = "ENTRIES#" }] } } }
    }
    error_message = "The filter must pass what changes in ledgers, and nothing else."
  }
}

run "the_function_may_do_its_work_and_nothing_else" {
  module { source = "./modules/stream_lambda" }

  assert {
    condition = {
      for statement in jsondecode(aws_iam_role_policy.this.policy).Statement : statement.Sid => {
        actions = statement.Action, resources = statement.Resource
      }
      } == {
      Settle     = { actions = ["dynamodb:GetItem", "dynamodb:UpdateItem"], resources = [var.table_arn] }
      ReadStream = { actions = ["dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator"], resources = [var.stream_arn] }
      FindStream = { actions = ["dynamodb:ListStreams"], resources = ["${var.table_arn}/stream/*"] }
      PutAside   = { actions = ["sqs:SendMessage"], resources = ["arn:aws:sqs:us-east-1:111122223333:settling-dead-letters"] }
      Log        = { actions = ["logs:CreateLogStream", "logs:PutLogEvents"], resources = ["arn:aws:logs:us-east-1:111122223333:log-group:/aws/lambda/settling-settle:*"] }
    }
    error_message = "The role has other permissions than its work needs."
  }

  assert {
    condition     = alltrue([for statement in jsondecode(aws_iam_role_policy.this.policy).Statement : statement.Effect == "Allow"])
    error_message = "Statements allow."
  }
}

run "it_has_the_memory_that_it_is_given_and_cpu_with_it" {
  module { source = "./modules/stream_lambda" }

  assert {
    condition     = aws_lambda_function.this.memory_size == 1769
    error_message = "Its CPU is by its memory: with 256 MiB it settles a sixth of what one vCPU does."
  }
}

run "its_role_carries_the_region" {
  module { source = "./modules/stream_lambda" }

  assert {
    condition     = aws_iam_role.this.name == "settling-settle-us-east-1"
    error_message = "The same name in a second region would meet this role."
  }
}

run "the_mapping_tells_that_it_reads" {
  module { source = "./modules/stream_lambda" }

  assert {
    condition     = aws_lambda_event_source_mapping.stream.metrics_config[0].metrics == toset(["EventCount"])
    error_message = "The alarm on a mapping that is off has no metric."
  }
}

run "an_emulator_is_not_asked_for_metrics" {
  module { source = "./modules/stream_lambda" }
  variables { metrics = false }

  assert {
    condition     = length(aws_lambda_event_source_mapping.stream.metrics_config) == 0
    error_message = "Each plan would ask for them anew."
  }
}

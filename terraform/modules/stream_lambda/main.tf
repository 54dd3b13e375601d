locals {
  function_name = "${var.name}-settle"
}

resource "aws_lambda_function" "this" {
  # checkov:skip=CKV_AWS_50:The log tells of every batch; traces of one UpdateItem a counter would add only cost.
  # checkov:skip=CKV_AWS_115:A stream's concurrency is its number of shards; reserving would take from other functions.
  # checkov:skip=CKV_AWS_116:This queue is for asynchronous calls; the mapping has its own on-failure queue.
  # checkov:skip=CKV_AWS_117:It calls only DynamoDB and SQS, by IAM; a VPC would add network to pay for and no safety.
  # checkov:skip=CKV_AWS_173:The variables are names, not secrets; AWS's key encrypts them.
  # checkov:skip=CKV_AWS_272:The zip comes from the checkout that is applied; signing is for code that changes hands.
  function_name = local.function_name
  description   = "Settles the counters of ${var.table_name} from its stream, exactly once"
  role          = aws_iam_role.this.arn

  filename         = var.zip
  source_code_hash = try(filebase64sha256(var.zip), null) # The root tells of a zip that is not there.
  runtime          = "python3.13"
  handler          = "stream_lambda.handler.handle"
  architectures    = [var.architecture]
  memory_size      = var.memory_mib # CPU comes with it, and that is what settling needs.
  timeout          = 60

  environment {
    variables = {
      TABLE_NAME            = var.table_name
      DEAD_LETTER_QUEUE_URL = aws_sqs_queue.dead_letters.url
      # Without a window nobody names the shard. With one, its absence must be an error and not a wrong count.
      REQUIRE_SHARD_ID = tostring(var.tumbling_window_s > 0)
    }
  }

  logging_config {
    log_format = "Text" # The function writes JSON itself.
    log_group  = aws_cloudwatch_log_group.this.name
  }

  # Without its permissions it would fail on whatever the mapping sends first.
  depends_on = [aws_iam_role_policy.this]
}

resource "aws_cloudwatch_log_group" "this" {
  # checkov:skip=CKV_AWS_158:AWS's key encrypts it, and ids and numbers are all it holds.
  name              = "/aws/lambda/${local.function_name}"
  retention_in_days = var.log_retention_days
}

# Takes the records that nobody can read (from the function) and word of batches given up (from the mapping).
resource "aws_sqs_queue" "dead_letters" {
  name                      = "${var.name}-dead-letters"
  message_retention_seconds = 14 * 24 * 3600 # The longest there is: a human has to look.
  sqs_managed_sse_enabled   = true
}

resource "aws_lambda_event_source_mapping" "stream" {
  function_name     = aws_lambda_function.this.arn
  event_source_arn  = var.stream_arn
  starting_position = "TRIM_HORIZON"

  # A counter costs one write a batch, so a batch is as large as what DynamoDB hands out at once.
  batch_size = 1000
  # Marks are per shard and settle in order, so a shard is read by one invocation at a time.
  parallelization_factor     = 1
  tumbling_window_in_seconds = var.tumbling_window_s

  filter_criteria {
    filter {
      pattern = jsonencode({ dynamodb = { Keys = { PK = { S = [{ prefix = "ENTRIES#" }] } } } })
    }
  }

  # A batch that fails is tried again until it is too old: a record that is dropped is a count that is wrong. The stream
  # keeps records for 24 hours, so those given up can still be read for an hour after the queue has word of them.
  bisect_batch_on_function_error = true
  maximum_retry_attempts         = -1
  maximum_record_age_in_seconds  = 23 * 3600

  # Counts what it reads each minute, also when that is nothing: silence then means that nobody reads.
  dynamic "metrics_config" {
    for_each = var.metrics ? [true] : []

    content {
      metrics = ["EventCount"]
    }
  }

  destination_config {
    on_failure {
      destination_arn = aws_sqs_queue.dead_letters.arn
    }
  }
}

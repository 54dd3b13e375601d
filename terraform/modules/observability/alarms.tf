locals {
  metric_namespace = "distributed-counter" # stream_lambda/consumer.py

  load_balancer = { LoadBalancer = var.load_balancer_suffix }
  target_group  = { LoadBalancer = var.load_balancer_suffix, TargetGroup = var.target_group_suffix }

  # Each alarm is one metric's, and sounds from this value on. Silence is good news for all of these.
  alarms = merge(local.settling_alarms, { for name, alarm in local.api_alarms : name => alarm if var.api })

  settling_alarms = {
    lambda-errors = {
      description = "The Lambda fails again and again: eventual stands still. Read its log for batch_failed and misconfigured."
      namespace   = "AWS/Lambda"
      metric      = "Errors"
      statistic   = "Sum"
      dimensions  = { FunctionName = var.function_name }
      threshold   = 1
      periods     = 3
    }
    lambda-throttles = {
      description = "The account has no concurrency left for the Lambda: eventual lags. Ask for more, or reserve some."
      namespace   = "AWS/Lambda"
      metric      = "Throttles"
      statistic   = "Sum"
      dimensions  = { FunctionName = var.function_name }
      threshold   = 1
      periods     = 3
    }
    iterator-age = {
      description = "The Lambda lags behind or fails: eventual is getting old. Read the Lambda's log for batch_failed."
      namespace   = "AWS/Lambda"
      metric      = "IteratorAge" # In milliseconds.
      statistic   = "Maximum"
      dimensions  = { FunctionName = var.function_name }
      threshold   = var.iterator_age_max_s * 1000
      periods     = 3
    }
    dead-letters = {
      description = "Records could not be settled: eventual is wrong until a human has looked into the queue."
      namespace   = "AWS/SQS"
      metric      = "ApproximateNumberOfMessagesVisible"
      statistic   = "Maximum"
      dimensions  = { QueueName = var.dead_letter_queue_name }
      threshold   = 1
      periods     = 1
    }
    malformed-records = {
      description = "Somebody writes entries that the Lambda cannot read; they are in the dead-letter queue."
      namespace   = local.metric_namespace
      metric      = "malformed_records"
      statistic   = "Sum"
      dimensions  = { table = var.table_name }
      threshold   = 1
      periods     = 1
    }
  }

  api_alarms = {
    unhealthy-targets = {
      description = "Tasks of the API do not answer; ECS replaces them."
      namespace   = "AWS/ApplicationELB"
      metric      = "UnHealthyHostCount"
      statistic   = "Maximum"
      dimensions  = local.target_group
      threshold   = 1
      periods     = 3
    }
  }

  # Each of these sounds when its metrics add up to the value.
  sums = merge(local.table_sums, { for name, sum in local.api_sums : name => sum if var.api })

  api_sums = {
    api-5xx = {
      description = "Callers get 5xx: 503 is overload or an unreachable table, anything else is a bug."
      namespace   = "AWS/ApplicationELB"
      metrics = {
        target        = { name = "HTTPCode_Target_5XX_Count", dimensions = local.target_group }
        load_balancer = { name = "HTTPCode_ELB_5XX_Count", dimensions = local.load_balancer }
      }
      threshold = var.api_errors_max
      periods   = 2
    }
  }

  table_sums = {
    throttled-requests = {
      description = "DynamoDB throttles: a partition is at its limit. More SERVICES_SLOTS spread a new account's ledger."
      namespace   = "AWS/DynamoDB"
      metrics = {
        reads  = { name = "ReadThrottleEvents", dimensions = { TableName = var.table_name } }
        writes = { name = "WriteThrottleEvents", dimensions = { TableName = var.table_name } }
      }
      threshold = 10
      periods   = 3
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "single" {
  for_each = var.alarms ? local.alarms : {}

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.description
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  statistic           = each.value.statistic
  dimensions          = each.value.dimensions
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = each.value.threshold
  period              = 60
  evaluation_periods  = each.value.periods
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns
}

resource "aws_cloudwatch_metric_alarm" "sum" {
  for_each = var.alarms ? local.sums : {}

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.description
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = each.value.threshold
  evaluation_periods  = each.value.periods
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns

  metric_query {
    id          = "sum"
    expression  = join(" + ", [for id in sort(keys(each.value.metrics)) : "FILL(${id}, 0)"])
    label       = each.key
    return_data = true
  }

  dynamic "metric_query" {
    for_each = each.value.metrics

    content {
      id = metric_query.key

      metric {
        namespace   = each.value.namespace
        metric_name = metric_query.value.name
        dimensions  = metric_query.value.dimensions
        stat        = "Sum"
        period      = 60
      }
    }
  }
}

# A mapping that is on reports how many records it read even when there were none. One that is off, or gone, is silent,
# and so is everything that waits for it: the age of records is told only by who reads them.
resource "aws_cloudwatch_metric_alarm" "mapping" {
  count = var.alarms ? 1 : 0

  alarm_name          = "${var.name}-mapping"
  alarm_description   = "Nobody reads the table's stream: the event source mapping is disabled or gone, and after 24 hours records are lost. Enable it."
  namespace           = "AWS/Lambda"
  metric_name         = "PolledEventCount"
  statistic           = "SampleCount"
  dimensions          = { EventSourceMappingUUID = var.mapping_id }
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  period              = 60
  evaluation_periods  = 10
  treat_missing_data  = "breaching"
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns
}

# Silence is bad news for this one, too: then nobody looks, and nobody heals.
resource "aws_cloudwatch_metric_alarm" "drift" {
  count = var.alarms && var.sweep_interval_minutes != null ? 1 : 0

  alarm_name          = "${var.name}-drift"
  alarm_description   = "Four sweeps in a row found drifted counters that nobody uses, or there were no sweeps. Read the API's log for sweep.finished, sweep.failed and counter.not_healed."
  namespace           = local.metric_namespace
  metric_name         = local.sweep_metrics.drifted_quiet
  statistic           = "Sum"
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 1
  period              = local.sweep_period_s
  evaluation_periods  = 4
  treat_missing_data  = "breaching"
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns

  depends_on = [aws_cloudwatch_log_metric_filter.sweep]
}

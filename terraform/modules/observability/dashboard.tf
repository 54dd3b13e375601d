# What the Lambda counted, from the line it logs for each batch.
resource "aws_cloudwatch_log_metric_filter" "settled" {
  name           = "${var.name}-settled"
  log_group_name = var.function_log_group_name
  pattern        = "{ $.event = \"settled\" }"

  metric_transformation {
    namespace = local.metric_namespace
    name      = "${var.name}-settled-records"
    value     = "$.settled"
    unit      = "Count"
  }
}

locals {
  # What a sweep counted, by its name in the event (counters/healing/sweep.py), and the metric that is made of it.
  sweep_metrics  = { for field in ["best_effort", "eventual", "drift", "drifted", "drifted_quiet", "damaged"] : field => "${var.name}-sweep-${field}" }
  sweep_period_s = 60 * coalesce(var.sweep_interval_minutes, 15)
}

# Beyond 100,000 accounts a sweep logs several lines, one for each part: only sums are of all accounts.
resource "aws_cloudwatch_log_metric_filter" "sweep" {
  for_each = var.api ? local.sweep_metrics : {}

  name           = each.value
  log_group_name = var.api_log_group_name
  pattern        = "{ $.event = \"sweep.finished\" }"

  metric_transformation {
    namespace = local.metric_namespace
    name      = each.value
    value     = "$.${each.key}"
    unit      = "Count"
  }
}

locals {
  # Two a row.
  graphs = concat([for graph in local.api_graphs : graph if var.api], local.settling_graphs)

  api_graphs = [
    {
      title   = "Best-effort against eventual: totals of all counters, at each sweep"
      stat    = "Sum"
      period  = local.sweep_period_s
      metrics = [for field in ["best_effort", "eventual"] : [local.metric_namespace, local.sweep_metrics[field], { label = field }]]
    },
    {
      title  = "Drift at each sweep: how far all counters are apart, how many are, and how many are damaged"
      stat   = "Sum"
      period = local.sweep_period_s
      metrics = [
        for field in ["drift", "drifted", "drifted_quiet", "damaged"] :
        [local.metric_namespace, local.sweep_metrics[field], { label = field }]
      ]
    },
    {
      title = "Admitted (2xx of the API, reads included) against settled, a minute"
      stat  = "Sum"
      metrics = [
        ["AWS/ApplicationELB", "HTTPCode_Target_2XX_Count", "LoadBalancer", var.load_balancer_suffix, { label = "best-effort side" }],
        [local.metric_namespace, aws_cloudwatch_log_metric_filter.settled.metric_transformation[0].name, { label = "eventual side" }],
      ]
    },
    {
      title = "Answers a minute"
      stat  = "Sum"
      metrics = [
        for code in ["2XX", "4XX", "5XX"] :
        ["AWS/ApplicationELB", "HTTPCode_Target_${code}_Count", "LoadBalancer", var.load_balancer_suffix]
      ]
    },
    {
      title   = "Time to an answer, s, p99"
      stat    = "p99"
      metrics = [["AWS/ApplicationELB", "TargetResponseTime", "LoadBalancer", var.load_balancer_suffix]]
    },
  ]

  settling_graphs = [
    {
      title   = "How late eventual is, ms"
      stat    = "Maximum"
      metrics = [["AWS/Lambda", "IteratorAge", "FunctionName", var.function_name]]
    },
    {
      title = "Units and throttling of the table"
      stat  = "Sum"
      metrics = [
        for metric in ["ConsumedWriteCapacityUnits", "ConsumedReadCapacityUnits", "WriteThrottleEvents", "ReadThrottleEvents"] :
        ["AWS/DynamoDB", metric, "TableName", var.table_name]
      ]
    },
    {
      title = "What could not be settled"
      stat  = "Maximum"
      metrics = [
        ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", var.dead_letter_queue_name],
        [local.metric_namespace, "malformed_records", "table", var.table_name, { stat = "Sum" }],
        ["AWS/Lambda", "Errors", "FunctionName", var.function_name, { stat = "Sum" }],
      ]
    },
  ]
}

resource "aws_cloudwatch_dashboard" "this" {
  # Dashboards are of the whole account, what they show is of one region.
  dashboard_name = "${var.name}-${var.region}"

  dashboard_body = jsonencode({
    widgets = [
      for index, graph in local.graphs : {
        type   = "metric"
        x      = index % 2 * 12
        y      = floor(index / 2) * 6
        width  = 12
        height = 6
        properties = {
          title   = graph.title
          region  = var.region
          stat    = graph.stat
          period  = lookup(graph, "period", 60)
          view    = "timeSeries"
          metrics = graph.metrics
        }
      }
    ]
  })
}

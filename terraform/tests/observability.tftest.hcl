# The alarms watch what the code reports, under its names.

mock_provider "aws" {}

variables {
  name                    = "watched"
  region                  = "us-east-1"
  api                     = true
  table_name              = "watched-table"
  function_name           = "watched-settle"
  mapping_id              = "0a1b"
  function_log_group_name = "/aws/lambda/watched-settle"
  api_log_group_name      = "/ecs/watched"
  sweep_interval_minutes  = 15
  dead_letter_queue_name  = "watched-dead-letters"
  load_balancer_suffix    = "app/watched-api/1"
  target_group_suffix     = "targetgroup/watched-api/1"
  alarms                  = true
  alarm_topic_arns        = ["arn:aws:sns:us-east-1:111122223333:on-call"]
  iterator_age_max_s      = 60
  api_errors_max          = 5
}

run "there_is_an_alarm_for_each_thing_that_goes_wrong" {
  module { source = "./modules/observability" }

  assert {
    condition = toset(output.alarm_names) == toset([
      "watched-api-5xx",
      "watched-dead-letters",
      "watched-drift",
      "watched-iterator-age",
      "watched-lambda-errors",
      "watched-lambda-throttles",
      "watched-malformed-records",
      "watched-mapping",
      "watched-throttled-requests",
      "watched-unhealthy-targets",
    ])
    error_message = "Alarms are missing."
  }

  assert {
    condition = alltrue([
      for alarm in concat(values(aws_cloudwatch_metric_alarm.single), values(aws_cloudwatch_metric_alarm.sum)) :
      alarm.treat_missing_data == "notBreaching" && alarm.alarm_actions == toset(var.alarm_topic_arns)
    ])
    error_message = "Silence is good news, and bad news is sent."
  }
}

run "malformed_records_are_found_under_the_name_that_the_lambda_gives_them" {
  module { source = "./modules/observability" }

  assert {
    condition = (
      aws_cloudwatch_metric_alarm.single["malformed-records"].namespace == "distributed-counter" &&
      aws_cloudwatch_metric_alarm.single["malformed-records"].metric_name == "malformed_records" &&
      aws_cloudwatch_metric_alarm.single["malformed-records"].dimensions == tomap({ table = "watched-table" })
    )
    error_message = "stream_lambda/consumer.py names the metric otherwise."
  }
}

run "drift_sounds_after_four_sweeps_and_when_there_are_none" {
  module { source = "./modules/observability" }

  assert {
    condition = (
      aws_cloudwatch_metric_alarm.drift[0].metric_name == aws_cloudwatch_log_metric_filter.sweep["drifted_quiet"].metric_transformation[0].name &&
      aws_cloudwatch_metric_alarm.drift[0].period == 15 * 60 &&
      aws_cloudwatch_metric_alarm.drift[0].evaluation_periods == 4 &&
      aws_cloudwatch_metric_alarm.drift[0].treat_missing_data == "breaching"
    )
    error_message = "The alarm is to look at four sweeps, and silence is bad news."
  }
}

run "without_sweeps_nobody_can_tell_drift" {
  module { source = "./modules/observability" }
  variables { sweep_interval_minutes = null }

  assert {
    condition     = !contains(output.alarm_names, "watched-drift")
    error_message = "Before the first image there are no sweeps, and an alarm would sound for ever."
  }
}

run "the_dashboard_puts_best_effort_against_eventual" {
  module { source = "./modules/observability" }

  assert {
    condition = [for metric in jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets[0].properties.metrics : [metric[0], metric[1]]] == [
      for field in ["best_effort", "eventual"] : [
        aws_cloudwatch_log_metric_filter.sweep[field].metric_transformation[0].namespace,
        aws_cloudwatch_log_metric_filter.sweep[field].metric_transformation[0].name,
      ]
    ]
    error_message = "The first graph is to show what the sweeps found."
  }
}

run "the_age_is_in_milliseconds" {
  module { source = "./modules/observability" }

  assert {
    condition     = aws_cloudwatch_metric_alarm.single["iterator-age"].threshold == 60000
    error_message = "CloudWatch has the age in milliseconds."
  }
}

run "alarms_can_be_left_out" {
  module { source = "./modules/observability" }
  variables { alarms = false }

  assert {
    condition     = length(output.alarm_names) == 0
    error_message = "There are alarms all the same."
  }
}

run "the_dashboard_fits_its_grid" {
  module { source = "./modules/observability" }

  assert {
    condition     = alltrue([for widget in jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets : widget.x + widget.width <= 24])
    error_message = "A widget hangs over the edge."
  }
}

run "a_mapping_that_reads_nothing_is_one_that_is_off" {
  module { source = "./modules/observability" }

  assert {
    condition = (
      aws_cloudwatch_metric_alarm.mapping[0].metric_name == "PolledEventCount" &&
      aws_cloudwatch_metric_alarm.mapping[0].statistic == "SampleCount" &&
      aws_cloudwatch_metric_alarm.mapping[0].dimensions == tomap({ EventSourceMappingUUID = "0a1b" }) &&
      aws_cloudwatch_metric_alarm.mapping[0].treat_missing_data == "breaching"
    )
    error_message = "A mapping that is off reports nothing, and that is bad news."
  }
}

run "the_function_s_errors_and_throttles_are_watched" {
  module { source = "./modules/observability" }

  assert {
    condition = [for alarm in ["lambda-errors", "lambda-throttles"] : [
      aws_cloudwatch_metric_alarm.single[alarm].metric_name, aws_cloudwatch_metric_alarm.single[alarm].dimensions.FunctionName
    ]] == [["Errors", "watched-settle"], ["Throttles", "watched-settle"]]
    error_message = "The alarms watch other metrics."
  }
}

run "the_dashboard_s_name_carries_the_region" {
  module { source = "./modules/observability" }

  assert {
    condition     = output.dashboard_name == "watched-us-east-1"
    error_message = "The same name in a second region would overwrite this dashboard."
  }
}

output "alarm_names" {
  description = "Names of all alarms."
  value = sort(concat(
    [for alarm in aws_cloudwatch_metric_alarm.single : alarm.alarm_name],
    [for alarm in aws_cloudwatch_metric_alarm.sum : alarm.alarm_name],
    aws_cloudwatch_metric_alarm.mapping[*].alarm_name,
    aws_cloudwatch_metric_alarm.drift[*].alarm_name,
  ))
}

output "dashboard_name" {
  description = "Name of the dashboard."
  value       = aws_cloudwatch_dashboard.this.dashboard_name
}

module "observability" {
  source = "./modules/observability"

  name                    = var.name
  region                  = var.region
  api                     = var.api
  table_name              = module.table.name
  function_name           = module.stream_lambda.function_name
  function_log_group_name = module.stream_lambda.log_group_name
  api_log_group_name      = one(module.api[*].log_group_name)
  sweep_interval_minutes  = var.api && var.served_image != null ? var.sweep_interval_minutes : null
  mapping_id              = module.stream_lambda.mapping_id
  dead_letter_queue_name  = module.stream_lambda.dead_letter_queue_name
  load_balancer_suffix    = one(module.api[*].load_balancer_suffix)
  target_group_suffix     = one(module.api[*].target_group_suffix)
  alarms                  = var.alarms
  alarm_topic_arns        = var.alarm_topic_arns
  iterator_age_max_s      = var.iterator_age_max_s
  api_errors_max          = var.api_errors_max
}

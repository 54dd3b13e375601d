module "stream_lambda" {
  source = "./modules/stream_lambda"

  name               = var.name
  region             = var.region
  table_name         = module.table.name
  table_arn          = module.table.arn
  stream_arn         = module.table.stream_arn
  zip                = var.lambda_zip
  architecture       = var.architecture
  memory_mib         = var.lambda_memory_mib
  metrics            = var.alarms
  tumbling_window_s  = var.tumbling_window_s
  log_retention_days = var.log_retention_days
}

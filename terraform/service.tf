module "api" {
  source = "./modules/api"
  count  = var.api ? 1 : 0

  name                     = var.name
  region                   = var.region
  account_id               = data.aws_caller_identity.current.account_id
  network                  = module.network[0]
  table_name               = module.table.name
  table_arn                = module.table.arn
  image                    = var.api_image
  served_image             = var.served_image
  architecture             = var.architecture
  task_cpu                 = var.api_task_cpu
  task_memory_mib          = var.api_task_memory_mib
  autoscaling              = var.api_autoscaling
  tasks_min                = var.api_tasks_min
  tasks_max                = var.api_tasks_max
  cpu_target_percent       = var.api_cpu_target_percent
  requests_per_task_target = var.api_requests_per_task_target
  operation_deadline_ms    = var.operation_deadline_ms
  heal_after_s             = var.heal_after_s
  own_ids_in_batches       = var.own_ids_in_batches
  services_slots           = var.services_slots
  max_connections          = var.max_connections
  log_level                = var.log_level
  environment              = local.credentials
  sweep_interval_minutes   = var.sweep_interval_minutes
  public                   = var.public
  allowed_cidrs            = var.allowed_cidrs
  certificate_arn          = var.certificate_arn
  deletion_protection      = var.deletion_protection
  log_retention_days       = var.log_retention_days
}

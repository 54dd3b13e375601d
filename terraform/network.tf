# Only the API is in it: DynamoDB calls the Lambda, and the Lambda calls DynamoDB, without a network of ours.
module "network" {
  source = "./modules/network"
  count  = var.api ? 1 : 0

  name                = var.name
  region              = var.region
  cidr                = var.vpc_cidr
  zones               = var.zones
  table_arn           = module.table.arn
  public              = var.public
  endpoint_policies   = var.endpoint_policies
  interface_endpoints = var.interface_endpoints
}

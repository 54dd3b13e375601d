module "network" {
  source = "./modules/network"

  name                = var.name
  region              = var.region
  cidr                = var.vpc_cidr
  zones               = var.zones
  public              = var.public
  interface_endpoints = var.interface_endpoints
}

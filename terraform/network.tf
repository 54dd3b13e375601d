module "network" {
  source = "./modules/network"

  name                = var.name
  region              = var.region
  cidr                = var.vpc_cidr
  zone_count          = var.zone_count
  public              = var.public
  interface_endpoints = var.interface_endpoints
}

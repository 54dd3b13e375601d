module "table" {
  source = "./modules/table"

  name                = var.name
  deletion_protection = var.deletion_protection
}

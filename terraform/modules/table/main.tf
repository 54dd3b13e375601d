# Names of keys and attributes are those of counters/keys.py; a test compares them with what `./taskw up` makes.
resource "aws_dynamodb_table" "this" {
  # checkov:skip=CKV_AWS_119:AWS's key for DynamoDB encrypts; a key of ours would add a cost and a way to lose the data.
  name         = var.name
  billing_mode = "PAY_PER_REQUEST"

  hash_key  = "PK"
  range_key = "SK"

  attribute {
    name = "PK"
    type = "S"
  }

  attribute {
    name = "SK"
    type = "S"
  }

  stream_enabled   = true
  stream_view_type = "NEW_AND_OLD_IMAGES"

  ttl {
    enabled        = true
    attribute_name = "expires_at"
  }

  point_in_time_recovery {
    enabled = true
  }

  server_side_encryption {
    enabled = true
  }

  deletion_protection_enabled = var.deletion_protection
}

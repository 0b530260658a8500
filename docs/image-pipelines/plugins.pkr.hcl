# SPDX-License-Identifier: Apache-2.0
# For Packer 1.7 and later, where the builders are plugins.

packer {
  required_plugins {
    amazon = {
      source  = "github.com/hashicorp/amazon"
      version = ">= 1.2"
    }
  }
}

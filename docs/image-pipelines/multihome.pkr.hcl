# SPDX-License-Identifier: Apache-2.0
# An AMI of Debian with cc-multihome.
#   packer init docs/image-pipelines
#   packer build -var deb=build/cc-multihome_0.1.0_all.deb docs/image-pipelines

variable "deb" {
  type        = string
  description = "The package, as script/build-deb prints its path."
}

variable "region" {
  type    = string
  default = "us-east-1"
}

variable "debian" {
  type        = string
  default     = "debian-13-amd64-*"
  description = "Name of the AMI to begin with, of Debian's own account."
}

source "amazon-ebs" "multihome" {
  ami_name      = "debian-multihome-{{timestamp}}"
  instance_type = "t3.small"
  region        = var.region
  ssh_username  = "admin"
  source_ami_filter {
    filters = {
      name                = var.debian
      root-device-type    = "ebs"
      virtualization-type = "hvm"
    }
    most_recent = true
    owners      = ["136693071363"]
  }
}

build {
  sources = ["source.amazon-ebs.multihome"]

  provisioner "file" {
    source      = var.deb
    destination = "/tmp/cc-multihome.deb"
  }

  # Last of all the provisioners: nothing after `cloud-init clean`.
  provisioner "shell" {
    execute_command = "chmod +x {{ .Path }}; sudo sh -eux {{ .Path }}"
    inline = [
      "cloud-init status --wait || test $? = 2",
      "apt-get update",
      "apt-get install -y --no-install-recommends /tmp/cc-multihome.deb",
      "rm /tmp/cc-multihome.deb",
      "multihome integrate --check",
      "cloud-init clean --logs",
    ]
  }
}

# SPDX-License-Identifier: Apache-2.0
# Destinations that the private ENI carries, kept by Puppet.
class profile::multihome (
  Array[String[1]] $private_destinations = [],
) {
  file { '/etc/multihome.d':
    ensure => directory,
    owner  => 'root',
    group  => 'root',
    mode   => '0755',
  }

  file { '/etc/multihome.d/50-puppet.yaml':
    owner        => 'root',
    group        => 'root',
    mode         => '0644',
    content      => stdlib::to_yaml(
      'policy' => [{ 'to' => $private_destinations, 'via' => 'private' }],
    ),
    validate_cmd => '/usr/bin/multihome validate %',
    notify       => Exec['multihome apply'],
  }

  exec { 'multihome apply':
    command     => '/usr/bin/multihome apply',
    refreshonly => true,
  }
}

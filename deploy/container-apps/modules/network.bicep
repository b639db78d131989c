// A network of its own: a subnet each for the replicas, the database and the private endpoint of the cache, and the zones
// in which their names are found.

param name string
param location string

@description('The private zone of the database: a name of its own that ends in .postgres.database.azure.com')
param databaseZone string

resource network 'Microsoft.Network/virtualNetworks@2024-05-01' = {
  name: name
  location: location
  properties: {
    addressSpace: {
      addressPrefixes: ['10.20.0.0/16']
    }
    subnets: [
      {
        name: 'app'
        properties: {
          addressPrefix: '10.20.0.0/23'
          delegations: [
            {
              name: 'app'
              properties: {
                serviceName: 'Microsoft.App/environments'
              }
            }
          ]
        }
      }
      {
        name: 'database'
        properties: {
          addressPrefix: '10.20.2.0/28'
          delegations: [
            {
              name: 'database'
              properties: {
                serviceName: 'Microsoft.DBforPostgreSQL/flexibleServers'
              }
            }
          ]
        }
      }
      {
        name: 'endpoints'
        properties: {
          addressPrefix: '10.20.3.0/27'
        }
      }
    ]
  }

  resource app 'subnets' existing = {
    name: 'app'
  }

  resource database 'subnets' existing = {
    name: 'database'
  }

  resource endpoints 'subnets' existing = {
    name: 'endpoints'
  }
}

resource databaseNames 'Microsoft.Network/privateDnsZones@2020-06-01' = {
  name: databaseZone
  location: 'global'
}

resource databaseLink 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2020-06-01' = {
  parent: databaseNames
  name: name
  location: 'global'
  properties: {
    registrationEnabled: false
    virtualNetwork: {
      id: network.id
    }
  }
}

resource cacheNames 'Microsoft.Network/privateDnsZones@2020-06-01' = {
  name: 'privatelink.redis.azure.net'
  location: 'global'
}

resource cacheLink 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2020-06-01' = {
  parent: cacheNames
  name: name
  location: 'global'
  properties: {
    registrationEnabled: false
    virtualNetwork: {
      id: network.id
    }
  }
}

output appSubnetId string = network::app.id
output databaseSubnetId string = network::database.id
output endpointSubnetId string = network::endpoints.id
output databaseZoneId string = databaseNames.id
output cacheZoneId string = cacheNames.id

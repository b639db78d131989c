// Azure Database for PostgreSQL, flexible server, inside the network. Connections are by TLS, which the server requires by
// itself. The gateway signs in by password: it does not fetch Microsoft Entra ID tokens for the database.

param name string
param location string

@description('A subnet that is delegated to flexible servers.')
param subnetId string

param privateZoneId string

@description('A standby in another zone, which takes over by itself.')
param zoneRedundant bool

@secure()
param password string

var login = 'gateway'

resource server 'Microsoft.DBforPostgreSQL/flexibleServers@2025-08-01' = {
  name: name
  location: location
  sku: {
    name: 'Standard_D2ds_v5'
    tier: 'GeneralPurpose'
  }
  properties: {
    version: '16'
    administratorLogin: login
    administratorLoginPassword: password
    authConfig: {
      passwordAuth: 'Enabled'
      activeDirectoryAuth: 'Disabled'
    }
    storage: {
      storageSizeGB: 64
      autoGrow: 'Enabled'
    }
    backup: {
      backupRetentionDays: 14
      geoRedundantBackup: 'Disabled'
    }
    highAvailability: zoneRedundant
      ? {
          mode: 'ZoneRedundant'
        }
      : null
    network: {
      delegatedSubnetResourceId: subnetId
      privateDnsZoneArmResourceId: privateZoneId
    }
  }
}

resource database 'Microsoft.DBforPostgreSQL/flexibleServers/databases@2025-08-01' = {
  parent: server
  name: 'gateway'
  properties: {
    charset: 'UTF8'
    collation: 'en_US.utf8'
  }
}

output host string = server.properties.fullyQualifiedDomainName
output login string = login
output database string = database.name

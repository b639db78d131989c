// Key Vault with the gateway's four secrets, which the gateway's identity may read and nobody else may by default.

param name string
param location string
param principalId string

@secure()
param databaseUrl string

@description('The key of its database is read here, so that it is in no output.')
param redisClusterName string

@secure()
param tokenCacheKey string

@secure()
param auditKey string

@description('Key Vault Secrets User')
var roleId = '4633458b-17de-408a-b874-0445c86b69e6'

resource cluster 'Microsoft.Cache/redisEnterprise@2025-07-01' existing = {
  name: redisClusterName

  resource database 'databases' existing = {
    name: 'default'
  }
}

resource vault 'Microsoft.KeyVault/vaults@2025-05-01' = {
  name: name
  location: location
  properties: {
    tenantId: tenant().tenantId
    sku: {
      family: 'A'
      name: 'standard'
    }
    enableRbacAuthorization: true
    enablePurgeProtection: true
    softDeleteRetentionInDays: 90
  }
}

resource read 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: vault
  name: guid(vault.id, principalId, roleId)
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleId)
    principalId: principalId
    principalType: 'ServicePrincipal'
  }
}

resource databaseSecret 'Microsoft.KeyVault/vaults/secrets@2025-05-01' = {
  parent: vault
  name: 'database-url'
  properties: {
    value: databaseUrl
  }
}

resource redisSecret 'Microsoft.KeyVault/vaults/secrets@2025-05-01' = {
  parent: vault
  name: 'redis-url'
  properties: {
    value: 'rediss://:${uriComponent(cluster::database.listKeys().primaryKey)}@${cluster.properties.hostName}:10000'
  }
}

resource cacheKeySecret 'Microsoft.KeyVault/vaults/secrets@2025-05-01' = {
  parent: vault
  name: 'token-cache-key'
  properties: {
    value: tokenCacheKey
  }
}

resource auditKeySecret 'Microsoft.KeyVault/vaults/secrets@2025-05-01' = {
  parent: vault
  name: 'audit-key'
  properties: {
    value: auditKey
  }
}

// Without a version, so that a new one is taken within half an hour.
output secretUris object = {
  databaseUrl: databaseSecret.properties.secretUri
  redisUrl: redisSecret.properties.secretUri
  tokenCacheKey: cacheKeySecret.properties.secretUri
  auditKey: auditKeySecret.properties.secretUri
}

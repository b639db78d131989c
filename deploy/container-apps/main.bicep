// The gateway on Azure Container Apps, with Communication Services, Postgres, Redis and Key Vault, in one resource group:
// az deployment group create --resource-group GROUP --parameters main.bicepparam
// The database and the cache have no public address. Nobody but the gateway's managed identity reads the secrets, and to
// Communication Services there is no key at all.

@description('Begins every name: 3 to 14 lower-case letters and digits, a letter first.')
@minLength(3)
@maxLength(14)
param name string = 'acsgateway'

@description('Where everything is, but for Communication Services, which is global.')
param location string = resourceGroup().location

@description('Where Communication Services keeps its data; it cannot be changed later.')
@allowed([
  'Africa'
  'Asia Pacific'
  'Australia'
  'Brazil'
  'Canada'
  'Europe'
  'France'
  'Germany'
  'India'
  'Japan'
  'Korea'
  'Norway'
  'Switzerland'
  'UAE'
  'UK'
  'United States'
])
param dataLocation string

@description('The container registry that has the image.')
param registryName string

@description('Its resource group.')
param registryResourceGroup string = resourceGroup().name

@description('The image in that registry, better by digest than by tag: acs-token-gateway@sha256:…')
param image string

@description('The issuer of your users\' tokens, exactly as it stands in their `iss`.')
param oidcIssuer string

@description('What the `aud` of their tokens must contain.')
param oidcAudience string

@description('The name that clients use, such as tokens.example.com. Empty: the one that Container Apps gives.')
param domain string = ''

@description('The id of its certificate in the environment. Empty until there is one; a deployment without it takes the name away.')
param certificateId string = ''

@description('The origin of a web page that may call from a browser. Empty: none.')
param corsOrigin string = ''

@description('Fewest replicas. Two, so that one may fail.')
@minValue(1)
param minReplicas int = 2

@description('Most replicas. Each takes up to 12 connections to Postgres, and while Redis is away grants its part of the budgets.')
@minValue(1)
@maxValue(30)
param maxReplicas int = 6

@description('Spread replicas and the database over availability zones, where the region has them.')
param zoneRedundant bool = true

@description('The role that the gateway has on the Communication Services resource, and nowhere else. Contributor is what Microsoft\'s quickstart gives.')
@allowed([
  'Contributor'
  'Communication and Email Service Owner'
])
param communicationRole string = 'Contributor'

@description('Password of the database. Letters, digits and signs, 16 or more.')
@secure()
@minLength(16)
param databasePassword string

@description('Encrypts tokens in Redis: openssl rand -base64 32')
@secure()
@minLength(44)
@maxLength(44)
param tokenCacheKey string

@description('Makes the hashes in the audit trail: openssl rand -base64 32, once and for good.')
@secure()
@minLength(44)
@maxLength(44)
param auditKey string

// Names that are unique in all of Azure.
var unique = '${name}-${take(uniqueString(resourceGroup().id), 6)}'

module network 'modules/network.bicep' = {
  params: {
    name: name
    location: location
    databaseZone: '${unique}.private.postgres.database.azure.com'
  }
}

module identity 'modules/identity.bicep' = {
  params: {
    name: name
    location: location
  }
}

module pull 'modules/registry-pull.bicep' = {
  scope: resourceGroup(registryResourceGroup)
  params: {
    registryName: registryName
    principalId: identity.outputs.principalId
  }
}

module communication 'modules/communication.bicep' = {
  params: {
    name: unique
    dataLocation: dataLocation
    role: communicationRole
    principalId: identity.outputs.principalId
  }
}

module postgres 'modules/postgres.bicep' = {
  params: {
    name: unique
    location: location
    subnetId: network.outputs.databaseSubnetId
    privateZoneId: network.outputs.databaseZoneId
    zoneRedundant: zoneRedundant
    password: databasePassword
  }
}

module redis 'modules/redis.bicep' = {
  params: {
    name: unique
    location: location
    subnetId: network.outputs.endpointSubnetId
    privateZoneId: network.outputs.cacheZoneId
  }
}

module vault 'modules/vault.bicep' = {
  params: {
    name: unique
    location: location
    principalId: identity.outputs.principalId
    databaseUrl: 'postgres://${postgres.outputs.login}:${uriComponent(databasePassword)}@${postgres.outputs.host}:5432/${postgres.outputs.database}?sslmode=verify-full'
    redisClusterName: redis.outputs.clusterName
    tokenCacheKey: tokenCacheKey
    auditKey: auditKey
  }
}

module environment 'modules/environment.bicep' = {
  params: {
    name: name
    location: location
    subnetId: network.outputs.appSubnetId
    zoneRedundant: zoneRedundant
  }
}

module app 'modules/app.bicep' = {
  params: {
    name: name
    location: location
    environmentId: environment.outputs.id
    identityId: identity.outputs.id
    identityClientId: identity.outputs.clientId
    registryServer: pull.outputs.loginServer
    image: '${pull.outputs.loginServer}/${image}'
    acsEndpoint: communication.outputs.endpoint
    oidcIssuer: oidcIssuer
    oidcAudience: oidcAudience
    publicUrl: 'https://${empty(domain) ? '${name}.${environment.outputs.domain}' : domain}'
    domain: domain
    certificateId: certificateId
    corsOrigin: corsOrigin
    minReplicas: minReplicas
    maxReplicas: maxReplicas
    secretUris: vault.outputs.secretUris
  }
}

@description('Where the gateway answers: POST /graphql')
output url string = 'https://${app.outputs.host}/graphql'

@description('The Communication Services resource, for your apps.')
output acsEndpoint string = communication.outputs.endpoint

@description('What a record of your own domain has to prove.')
output domainVerification string = app.outputs.domainVerification

// Your values. What is secret comes from the environment of whoever deploys, so that this file can be in a repository.
using './main.bicep'

param name = 'acsgateway'
param dataLocation = 'Europe'
param registryName = 'myregistry'
param registryResourceGroup = 'shared'
param image = 'acs-token-gateway:0.1.0'
param oidcIssuer = 'https://login.example.com'
param oidcAudience = 'api://communication-gateway'
// Later, together, when the name has its certificate:
// param domain = 'tokens.example.com'
// param certificateId = '/subscriptions/…/managedCertificates/…'
param databasePassword = readEnvironmentVariable('DATABASE_PASSWORD')
param tokenCacheKey = readEnvironmentVariable('TOKEN_CACHE_KEY')
param auditKey = readEnvironmentVariable('AUDIT_KEY')

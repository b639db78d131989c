// The gateway. Clients reach the public port through the ingress, which ends TLS; the admin port is for probes alone.

param name string
param location string
param environmentId string
param identityId string
param identityClientId string
param registryServer string
param image string
param acsEndpoint string
param oidcIssuer string
param oidcAudience string
param publicUrl string
param domain string
param certificateId string
param corsOrigin string
param minReplicas int
param maxReplicas int

@description('Where Key Vault has databaseUrl, redisUrl, tokenCacheKey and auditKey.')
param secretUris object

var configuration = loadTextContent('../gateway.yaml')

resource app 'Microsoft.App/containerApps@2025-07-01' = {
  name: name
  location: location
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identityId}': {}
    }
  }
  properties: {
    environmentId: environmentId
    workloadProfileName: 'Consumption'
    configuration: {
      // A new revision gets everything as soon as it is ready; the old one keeps it until then.
      activeRevisionsMode: 'Single'
      maxInactiveRevisions: 5
      ingress: {
        external: true
        targetPort: 4000
        transport: 'auto' // WebSockets too
        allowInsecure: false
        customDomains: empty(certificateId)
          ? []
          : [
              {
                name: domain
                certificateId: certificateId
                bindingType: 'SniEnabled'
              }
            ]
        traffic: [
          {
            latestRevision: true
            weight: 100
          }
        ]
      }
      registries: [
        {
          server: registryServer
          identity: identityId
        }
      ]
      secrets: [
        {
          name: 'database-url'
          keyVaultUrl: secretUris.databaseUrl
          identity: identityId
        }
        {
          name: 'redis-url'
          keyVaultUrl: secretUris.redisUrl
          identity: identityId
        }
        {
          name: 'token-cache-key'
          keyVaultUrl: secretUris.tokenCacheKey
          identity: identityId
        }
        {
          name: 'audit-key'
          keyVaultUrl: secretUris.auditKey
          identity: identityId
        }
        {
          // No secret, but a secret is what Container Apps can show as a file.
          name: 'configuration'
          value: configuration
        }
      ]
    }
    template: {
      // The gateway takes up to 10 seconds for what is under way. There is no waiting before SIGTERM as Kubernetes' preStop has it.
      terminationGracePeriodSeconds: 30
      scale: {
        minReplicas: minReplicas
        maxReplicas: maxReplicas
        rules: [
          {
            name: 'requests'
            http: {
              metadata: {
                concurrentRequests: '200'
              }
            }
          }
          {
            name: 'cpu'
            custom: {
              type: 'cpu'
              metadata: {
                type: 'Utilization'
                value: '70'
              }
            }
          }
        ]
      }
      volumes: [
        {
          name: 'configuration'
          storageType: 'Secret'
          secrets: [
            {
              secretRef: 'configuration'
              path: 'gateway.yaml'
            }
          ]
        }
      ]
      containers: [
        {
          name: 'gateway'
          image: image
          args: ['serve']
          resources: {
            cpu: json('0.5')
            memory: '1Gi'
          }
          volumeMounts: [
            {
              volumeName: 'configuration'
              mountPath: '/etc/acs-token-gateway'
            }
          ]
          env: [
            {
              name: 'GATEWAY_CONFIG'
              value: '/etc/acs-token-gateway/gateway.yaml'
            }
            {
              // A changed secret starts no revision; with this, a changed configuration does.
              name: 'CONFIGURATION_HASH'
              value: uniqueString(configuration)
            }
            {
              name: 'HOST'
              value: '0.0.0.0'
            }
            {
              name: 'ADMIN_HOST'
              value: '0.0.0.0'
            }
            {
              // Half of the memory.
              name: 'NODE_OPTIONS'
              value: '--max-semi-space-size=16 --max-old-space-size=512'
            }
            {
              // Its threads share what they take besides.
              name: 'MALLOC_ARENA_MAX'
              value: '1'
            }
            {
              name: 'AZURE_CLIENT_ID'
              value: identityClientId
            }
            {
              name: 'ACS_ENDPOINT'
              value: acsEndpoint
            }
            {
              name: 'OIDC_ISSUER'
              value: oidcIssuer
            }
            {
              name: 'OIDC_AUDIENCE'
              value: oidcAudience
            }
            {
              name: 'PUBLIC_URL'
              value: publicUrl
            }
            {
              name: 'CORS_ORIGIN'
              value: corsOrigin
            }
            {
              // The ingress calls replicas from the range that Container Apps keeps for itself.
              name: 'TRUSTED_PROXY'
              value: '100.100.0.0/16'
            }
            {
              name: 'INSTANCES'
              value: string(maxReplicas)
            }
            {
              // Into the log, which is kept in the workspace: a trail that was cut off can be told by it.
              name: 'AUDIT_CHECKPOINTS'
              value: 'stdout'
            }
            {
              name: 'DATABASE_URL'
              secretRef: 'database-url'
            }
            {
              name: 'REDIS_URL'
              secretRef: 'redis-url'
            }
            {
              name: 'TOKEN_CACHE_KEY'
              secretRef: 'token-cache-key'
            }
            {
              name: 'AUDIT_KEY'
              secretRef: 'audit-key'
            }
          ]
          // On the admin port: on the public one probes stand in line with everybody. Nothing listens before the database
          // has its tables, and a schema change may take 10 minutes.
          probes: [
            {
              type: 'Startup'
              httpGet: {
                path: '/health/live'
                port: 9464
              }
              initialDelaySeconds: 5
              periodSeconds: 60 // as 10 tries are the most
              timeoutSeconds: 3
              failureThreshold: 10
            }
            {
              type: 'Liveness'
              httpGet: {
                path: '/health/live'
                port: 9464
              }
              periodSeconds: 10
              timeoutSeconds: 3
              failureThreshold: 3
            }
            {
              type: 'Readiness'
              httpGet: {
                path: '/health/ready'
                port: 9464
              }
              periodSeconds: 5
              timeoutSeconds: 3
              failureThreshold: 2
            }
          ]
        }
      ]
    }
  }
}

output host string = app.properties.configuration.ingress.fqdn
output domainVerification string = app.properties.customDomainVerificationId

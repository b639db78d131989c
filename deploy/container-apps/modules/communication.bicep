// The Communication Services resource, and the one role that the gateway has on it.

param name string
param dataLocation string

@allowed([
  'Contributor'
  'Communication and Email Service Owner'
])
param role string

param principalId string

var roleIds = {
  Contributor: 'b24988ac-6180-42a0-ab88-20f7382dd24c'
  'Communication and Email Service Owner': '09976791-48a7-449e-bb21-39d1a415f350'
}

resource communication 'Microsoft.Communication/communicationServices@2025-09-01' = {
  name: name
  location: 'global'
  properties: {
    dataLocation: dataLocation
    disableLocalAuth: true // no access keys: roles alone let in
  }
}

resource access 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: communication
  name: guid(communication.id, principalId, roleIds[role])
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds[role])
    principalId: principalId
    principalType: 'ServicePrincipal'
  }
}

output endpoint string = 'https://${communication.properties.hostName}'

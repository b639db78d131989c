// What the gateway needs in the build file of an Android or JVM module. Written for Apollo Kotlin 4; 5 takes the same.
plugins {
  id("com.apollographql.apollo") version "4.4.3"
}

dependencies {
  implementation("com.apollographql.apollo:apollo-runtime:4.4.3")
}

apollo {
  service("gateway") {
    packageName.set("com.example.gateway")

    // The schema for apps, out of the gateway's folder `schema`: copy it here with each version of the gateway.
    schemaFiles.from("src/main/graphql/public.graphql")
    srcDir("src/main/graphql")
    includes.add("gateway.graphql")

    // RFC 3339, UTC, with milliseconds. Before API level 26, desugar java.time or use mapScalarToKotlinString.
    mapScalar("DateTime", "java.time.Instant", "com.example.gateway.InstantAdapter")
    mapScalarToKotlinString("CommunicationUserId")

    // What the gateway reads as a manifest of trusted documents:
    // build/generated/manifest/apollo/gateway/persistedQueryManifest.json
    operationManifestFormat.set("persistedQueryManifest")
  }
}

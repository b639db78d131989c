# Build: the program, with all that it uses, in a few files.
FROM node:24-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts
COPY tsconfig.json rolldown.config.ts ./
COPY src ./src
COPY scripts ./scripts
RUN npm run build && npm run sbom && mkdir data

# Run: Node and the program; no shell, no package manager, no root.
FROM gcr.io/distroless/nodejs24-debian12:nonroot
LABEL org.opencontainers.image.title="acs-token-gateway" \
      org.opencontainers.image.description="A trusted user access service for Azure Communication Services, as a GraphQL API." \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.base.name="gcr.io/distroless/nodejs24-debian12:nonroot"
WORKDIR /app
ENV NODE_ENV=production HOST=0.0.0.0
# A heap that is told how large it may get is swept sooner: half the memory. Raise it with larger caches. What threads take besides is
# shared by all of them.
ENV NODE_OPTIONS="--max-semi-space-size=16 --max-old-space-size=512" MALLOC_ARENA_MAX=1
COPY --from=build /app/package.json ./
COPY --from=build /app/dist ./dist
COPY gateway.yaml LICENSE ./
# What the image is made of, for whoever scans it.
COPY --from=build /app/sbom.json ./
# The one place that is written to: mount a volume here, and the root file system can be read-only.
COPY --from=build --chown=nonroot:nonroot /app/data ./data
VOLUME /app/data
EXPOSE 4000 9464
# SIGTERM reaches the program itself, which answers what is under way and closes.
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s CMD ["/nodejs/bin/node", "-e", "fetch(`http://127.0.0.1:${process.env.ADMIN_PORT || 9464}/health/live`).then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["/nodejs/bin/node", "/app/dist/main.js"]
CMD ["serve"]

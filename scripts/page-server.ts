// npm run page: serves the dashboard's sources for working on them, changed as they are saved, with every part in every
// state at /styleguide. What it asks a hub goes to ERRAND_HUB_URL (default http://127.0.0.1:3000).
//   PORT=N   where it listens, on loopback (default: 5173; 0: any that is free)
import { createServer } from 'vite'
import { webConfig } from './build-web.ts'

const hub = process.env.ERRAND_HUB_URL ?? 'http://127.0.0.1:3000'
// The hub takes requests of pages at its own address alone.
const toHub = { target: hub, changeOrigin: true, headers: { origin: new URL(hub).origin } }
const config = await webConfig()
const server = await createServer({
  ...config,
  server: {
    host: '127.0.0.1',
    port: Number(process.env.PORT ?? 5173),
    proxy: { '/api': toHub, '/docs': toHub },
  },
})
await server.listen()
const { port } = server.httpServer!.address() as { port: number }
console.log(
  `The page: http://127.0.0.1:${port}/, its parts: http://127.0.0.1:${port}/styleguide, of the hub ${hub}`,
)

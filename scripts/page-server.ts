// npm run page: serves the dashboard for development, and updates it when a source file is saved. /styleguide shows
// every part in every state. API requests go to ERRAND_HUB_URL (default http://127.0.0.1:3000).
//   PORT=N   the port on loopback (default: 5173; 0: any free port)
import { createServer } from 'vite'
import { webConfig } from './build-web.ts'

const hub = process.env.ERRAND_HUB_URL ?? 'http://127.0.0.1:3000'
// The hub accepts requests only from pages at its own address.
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

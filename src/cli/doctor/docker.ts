import { request } from 'node:http'
import { type Check, ok, type Place, warning } from './check.ts'

const WITHIN_MS = 5_000

export const docker: Check = {
  name: 'docker',
  async run({ env }: Place) {
    const at = env.DOCKER_HOST || 'unix:///var/run/docker.sock'
    try {
      await ping(at)
      return [ok(`Docker answers at ${at}.`)]
    } catch (error) {
      return [
        warning(
          `Docker is not reachable at ${at}: ${(error as Error).message}.`,
          'Start Docker, let this user reach it, or set DOCKER_HOST. Only bots and containers need it.',
        ),
      ]
    }
  },
}

function ping(at: string): Promise<void> {
  const socketPath = at.startsWith('unix://') ? at.slice('unix://'.length) : undefined
  const { hostname, port } = socketPath === undefined ? new URL(at) : { hostname: 'localhost', port: '' }
  return new Promise((resolve, reject) => {
    const asking = request({
      socketPath,
      host: hostname,
      port: port || 2375,
      path: '/_ping',
      timeout: WITHIN_MS,
    })
    asking.on('timeout', () => asking.destroy(new Error('it does not answer')))
    asking.on('error', reject)
    asking.on('response', (response) => {
      response.resume()
      if (response.statusCode === 200) resolve()
      else reject(new Error(`it answers ${response.statusCode}`))
    })
    asking.end()
  })
}

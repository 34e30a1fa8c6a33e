import { once } from 'node:events'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { lockHolder } from '../pid-lock.ts'
import { type Check, ok, type Place, problem } from './check.ts'

export const hubPort: Check = {
  name: 'port',
  async run({ data, listen: { host, port } }: Place) {
    const holder = lockHolder(join(data, 'lock'))
    if (holder?.alive) return [ok(`A hub runs here, with process id ${holder.pid}.`)]
    const server = createServer().listen(port, host)
    try {
      await once(server, 'listening')
      return [ok(`Port ${port} on ${host} is free for a hub.`)]
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException
      const what = code === 'EADDRINUSE' ? 'is taken by another program' : `cannot be used: ${message}`
      return [
        problem(
          `Port ${port} on ${host} ${what}.`,
          `Start the hub with another: errand up --port ${port + 1}`,
        ),
      ]
    } finally {
      server.close()
    }
  },
}

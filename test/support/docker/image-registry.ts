import { execFileSync, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { TestContext } from 'node:test'

export interface ImageRegistry {
  /** The address that an image's name begins with, `127.0.0.1:PORT`. Docker speaks plain HTTP to loopback. */
  address: string
  username: string
  password: string
  /** Stops answering until `resume`. */
  pause(): void
  resume(): void
}

/**
 * Starts Debian's docker-registry (`scripts/ci-packages.sh docker-registry apache2-utils`). It requires the password
 * for everything.
 */
export async function startImageRegistry(t: TestContext): Promise<ImageRegistry> {
  const folder = mkdtempSync(join(tmpdir(), 'errand-image-registry-'))
  const username = 'bot'
  const password = `of-the-registry-${randomBytes(12).toString('hex')}`
  writeFileSync(join(folder, 'htpasswd'), execFileSync('htpasswd', ['-Bbn', username, password]))
  const config = {
    version: 0.1,
    log: { level: 'info', formatter: 'json' },
    storage: { filesystem: { rootdirectory: join(folder, 'data') } },
    http: { addr: '127.0.0.1:0' },
    auth: { htpasswd: { realm: 'test', path: join(folder, 'htpasswd') } },
  }
  writeFileSync(join(folder, 'config.yml'), JSON.stringify(config))
  const child = spawn('docker-registry', ['serve', join(folder, 'config.yml')], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const ended = once(child, 'close')
  t.after(async () => {
    child.kill('SIGKILL')
    await ended
    rmSync(folder, { recursive: true, force: true })
  })
  let printed = ''
  for await (const line of createInterface({ input: child.stderr })) {
    printed += `${line}\n`
    const address = /listening on (127\.0\.0\.1:\d+)/.exec(line)?.[1]
    if (address === undefined) continue
    child.stderr.resume()
    return {
      ...{ address, username, password },
      pause: () => void child.kill('SIGSTOP'),
      resume: () => void child.kill('SIGCONT'),
    }
  }
  throw new Error(`docker-registry has ended:\n${printed}`)
}

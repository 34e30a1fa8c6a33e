import { strict as assert } from 'node:assert'
import { mkdtemp, rm } from 'node:fs/promises'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { HttpHost, type HttpHostOptions } from '../../../src/compat/host-agent/http-host.ts'
import type { AttemptEnd, AttemptReport, AttemptSpec, StreamName } from '../../../src/contract/attempt.ts'
import { ErrandError } from '../../../src/contract/errors.ts'
import type { AttemptSink } from '../../../src/engine/ports.ts'
import { patience } from '../patience.ts'

/** Records what a host reports about an attempt, as the engine would. */
export class KeepingSink implements AttemptSink {
  readonly reports: AttemptReport[] = []
  readonly kept: Record<StreamName, Buffer[]> = { stdout: [], stderr: [] }
  readonly ended: Promise<AttemptEnd>
  /** Called before bytes are recorded; may wait or throw. */
  onOutput: (stream: StreamName, bytes: Buffer) => Promise<void> | void = () => {}
  #reportEnd: (end: AttemptEnd) => void = () => {}

  constructor() {
    this.ended = new Promise((resolve) => {
      this.#reportEnd = resolve
    })
  }

  text(stream: StreamName): string {
    return Buffer.concat(this.kept[stream]).toString('utf8')
  }

  waiting(): void {}

  async assigned(): Promise<boolean> {
    return true
  }

  async report(report: AttemptReport): Promise<void> {
    assert.notEqual(this.reports.at(-1)?.type, 'ended', 'a report after the end')
    this.reports.push(report)
    if (report.type === 'ended') this.#reportEnd(report)
  }

  async output(stream: StreamName, offset: number, bytes: Buffer): Promise<number> {
    await this.onOutput(stream, bytes)
    const length = await this.length(stream)
    if (offset > length) throw new ErrandError('conflict', `a gap from ${length} to ${offset}`)
    const fresh = bytes.subarray(length - offset)
    if (fresh.length > 0) this.kept[stream].push(fresh)
    return length + fresh.length
  }

  async length(stream: StreamName): Promise<number> {
    return this.kept[stream].reduce((sum, bytes) => sum + bytes.length, 0)
  }
}

let counted = 0

/** Returns an attempt of `cmd.run` on the host at the address. */
export function cmdSpec(
  address: string | undefined,
  cmd: string,
  more: Partial<AttemptSpec> = {},
): AttemptSpec {
  const run_id = more.run_id ?? `run_test${process.pid}_${++counted}`
  return {
    attempt_id: `${run_id}.1`,
    run_id,
    workflow_name: 'test',
    step: 'a step',
    host: 'web1',
    instance: 0,
    try: 1,
    action: 'cmd.run',
    args: { cmd },
    env: {},
    requires: {},
    address,
    ...more,
  }
}

export async function until(condition: () => boolean | Promise<boolean>, what = 'it'): Promise<void> {
  for (const startMs = Date.now(); !(await condition()); ) {
    assert.ok(Date.now() - startMs < 120_000 * patience(), `waited too long for ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

export async function folder(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'errand-host-agent-'))
  t.after(() => rm(dir, { recursive: true, force: true }))
  return dir
}

export function httpHost(t: TestContext, options: HttpHostOptions = {}): HttpHost {
  const host = new HttpHost({ token: 'T', ...options })
  t.after(() => host.close())
  return host
}

/** Starts a TCP server that only calls `onSocket` for each connection. */
export async function tcpServer(
  t: TestContext,
  onSocket: (socket: Socket) => void,
): Promise<{ port: number; url: string }> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket)).on('error', () => {})
    onSocket(socket)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    return new Promise((resolve) => server.close(resolve))
  })
  const { port } = server.address() as AddressInfo
  return { port, url: `http://127.0.0.1:${port}` }
}

/**
 * Passes bytes on to the port. `cutAfter` returns the number of bytes of an answer after which it breaks
 * the connection.
 */
export function cuttingProxy(t: TestContext, toPort: () => number, cutAfter: () => number | undefined) {
  return tcpServer(t, (socket) => {
    const target = connect(toPort(), '127.0.0.1')
    target.on('error', () => socket.destroy())
    socket.on('close', () => target.destroy())
    socket.pipe(target)
    let left = cutAfter()
    target.on('data', (bytes) => {
      if (left === undefined) return socket.write(bytes)
      socket.write(bytes.subarray(0, left))
      left -= bytes.length
      if (left <= 0) socket.destroy()
    })
    target.on('close', () => socket.destroy())
  })
}

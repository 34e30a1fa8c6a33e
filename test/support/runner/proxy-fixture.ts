import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer as createWebServer, type RequestListener, request } from 'node:http'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import type { TestContext } from 'node:test'
import { writeFileAtomic } from '../../../src/platform/files.ts'
import { listProcesses, procText } from '../../../src/platform/proc.ts'
import { socketPath } from '../../../src/platform/socket-path.ts'
import { ProxySupervisor, type ProxySupervisorOptions } from '../../../src/runner/proxy/proxy-supervisor.ts'
import type { EndpointRules, LogEntry } from '../../../src/runner/proxy/rules.ts'

/** Says where names and addresses lead. */
export interface World {
  /**
   * The addresses of a name at its first look-up, its second, and so on; the last ones stay. While it is `silent`,
   * nobody answers.
   */
  names: Record<string, string[][] | 'silent'>
  /** The port on this machine of the server that stands for each `address:port`. */
  servers: Record<string, number | 'silent'>
  /** Milliseconds without an endpoint after which the proxy ends; read at its start. */
  aloneMs?: number
  connectMs?: number
  mostConnections?: number
}

/** A public address, which stands for servers of tests. */
export const PUBLIC = '93.184.215.14'

export const program = join(import.meta.dirname, 'proxy-program.ts')

export interface ProxyFixture {
  /** The folder with the proxy's state. */
  folder: string
  supervisor: ProxySupervisor
  /** Opens endpoints as another process of the runner does. */
  more(options?: Partial<ProxySupervisorOptions>): ProxySupervisor
  world(world: World): void
  open(id: string, network: EndpointRules['network']): Promise<string>
  log(id: string): LogEntry[]
  pid(): number
}

/** Starts a proxy in its own process, which is ended after the test. `below` makes its folder's path longer. */
export function proxyFixture(
  t: TestContext,
  { below = '', ...options }: Partial<ProxySupervisorOptions> & { below?: string } = {},
): ProxyFixture {
  const top = mkdtempSync(join(tmpdir(), 'errand-proxy-'))
  const folder = join(top, below, 'proxy')
  mkdirSync(folder, { recursive: true })
  const all: ProxySupervisor[] = []
  const more = (others: Partial<ProxySupervisorOptions> = {}) => {
    const supervisor = new ProxySupervisor({ folder, program, ...options, ...others })
    all.push(supervisor)
    return supervisor
  }
  const supervisor = more()
  const pid = () => (JSON.parse(readFileSync(join(folder, 'lock'), 'utf8')) as { pid: number }).pid
  t.after(() => {
    for (const each of all) each.stop()
    // A proxy process may still be finding out that another was faster.
    for (const { pid: each } of listProcesses() ?? [])
      if (procText(each, 'cmdline')?.includes(`\0${folder}\0`)) process.kill(each, 'SIGKILL')
    rmSync(top, { recursive: true, force: true })
  })
  const world = (next: World) =>
    writeFileAtomic(join(folder, 'world.json'), JSON.stringify(next), { durable: false })
  world({ names: {}, servers: {} })
  return {
    ...{ folder, supervisor, more, world, pid },
    open: async (id, network) =>
      join((await supervisor.open(id, { network, models: [], budget: {} }, folder)).folder, 'proxy'),
    log: (id) => supervisor.logSince(id, 0).lines,
  }
}

/** Starts a TCP server on this machine, which is ended after the test. Returns its port. */
export async function tcpServer(t: TestContext, answer: (socket: Socket) => void): Promise<number> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
    answer(socket)
  })
  const sockets = new Set<Socket>()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  return (server.address() as AddressInfo).port
}

/** Starts an HTTP server, which is ended after the test. Returns its port. */
export async function webServer(t: TestContext, answer: RequestListener): Promise<number> {
  const server = createWebServer(answer)
  return await tcpServer(t, (socket) => server.emit('connection', socket))
}

/** Connects to a Unix socket, however long its path is. */
export async function connectTo(t: TestContext, socket: string): Promise<Socket> {
  const { path, close } = socketPath(socket)
  const connection = connect({ path, allowHalfOpen: true })
  connection.on('error', () => undefined)
  t.after(() => connection.destroy())
  await once(connection, 'connect')
  close()
  return connection
}

/** Sends these bytes, reads until the other end closes, and returns the head and the body of the answer. */
export async function askRaw(
  t: TestContext,
  socket: string,
  bytes: string,
): Promise<{ head: string; body: string }> {
  const connection = await connectTo(t, socket)
  connection.write(bytes)
  const all = await text(connection)
  const at = all.indexOf('\r\n\r\n')
  return { head: all.slice(0, at), body: all.slice(at + 4) }
}

/** Opens a tunnel through an endpoint. Returns the head of the answer and the connection. */
export async function tunnel(
  t: TestContext,
  socket: string,
  to: string,
): Promise<{ head: string; through: Socket }> {
  const through = await connectTo(t, socket)
  through.write(`CONNECT ${to} HTTP/1.1\r\nHost: ${to}\r\n\r\n`)
  let head = ''
  while (!head.includes('\r\n\r\n')) {
    await once(through, 'readable')
    for (let byte = through.read(1); byte !== null; byte = through.read(1)) {
      head += String(byte)
      if (head.endsWith('\r\n\r\n')) break
    }
    if (through.readableEnded) break
  }
  return { head: head.split('\r\n')[0]!, through }
}

/** Returns what a proxy reports about itself. */
export async function proxyHealth(folder: string): Promise<{ open: number; connections: number }> {
  const { path, close } = socketPath(join(folder, 'control'))
  const probe = request({ socketPath: path, path: '/health', agent: false }).end()
  const [response] = await once(probe, 'response')
  close()
  return JSON.parse(await text(response))
}

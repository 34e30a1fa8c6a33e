import { existsSync } from 'node:fs'
import { procText } from '../../platform/proc.ts'
import { DOOR_INSIDE, DOOR_PORT } from '../proxy/rules.ts'

/** Names of a bridge's processes: they are left alone until their box ends. */
const BRIDGE_NAMES: readonly string[] = ['socat', 'errand-bridge']

/** Whether a process holds a sandbox up: one that ends takes all that is inside with it. */
export function holdsSandboxUp(pid: number): boolean {
  const name = procText(pid, 'comm')?.trim() ?? ''
  return name === 'bwrap' || BRIDGE_NAMES.includes(name)
}

/** Connections at a time, each of which is a process of socat; what comes beyond waits. */
const MOST_CONNECTIONS = 256
/** A connection that has half closed may be answered for a day. */
const HALF_CLOSED_SECONDS = 24 * 60 * 60
const SOCAT_BYTES = 64 * 1024
/** A proxy that was killed together with its runner is there again when that is: until then connections wait, and none fails. */
const TRIES = 600
const TRIED_EVERY_MS = 100

const SOCAT = '/usr/bin/socat'
const SOCKET = `${DOOR_INSIDE}/proxy`
const withSocat = (words: readonly string[]): readonly string[] => [
  ...[...words, '-t', String(HALF_CLOSED_SECONDS), '-b', String(SOCAT_BYTES)],
  `TCP4-LISTEN:${DOOR_PORT},bind=127.0.0.1,fork,reuseaddr,backlog=128,max-children=${MOST_CONNECTIONS}`,
  `UNIX-CONNECT:${SOCKET},retry=${TRIES},interval=${TRIED_EVERY_MS / 1000}`,
]
const NODE_SCRIPT = `
process.title = 'errand-bridge'
const net = require('net')
const reach = (inside, tries) => {
  if (inside.destroyed) return
  const outside = net.connect({ path: '${SOCKET}', allowHalfOpen: true })
  const again = () => setTimeout(reach, ${TRIED_EVERY_MS}, inside, tries - 1)
  outside.once('error', tries > 0 ? again : () => inside.destroy())
  outside.once('connect', () => {
    outside.removeAllListeners('error')
    inside.pipe(outside)
    outside.pipe(inside)
    for (const [one, other] of [[inside, outside], [outside, inside]])
      one.on('error', () => other.destroy()).on('close', (cut) => cut && other.destroy())
  })
}
const listener = net.createServer({ allowHalfOpen: true }, (inside) => {
  inside.on('error', () => undefined)
  reach(inside, ${TRIES})
})
listener.maxConnections = ${MOST_CONNECTIONS}
listener.listen(${DOOR_PORT}, '127.0.0.1')
`

/** The carrier of connections of a box to its door: the words of its command, and what must stand in the box for it. */
export interface Bridge {
  command: readonly string[]
  readable: readonly string[]
}

/** By socat where that is installed, which is smaller and there at once; else by this Node. */
export function findBridge(socat = SOCAT, node = process.execPath): Bridge {
  return existsSync(socat) ? socatBridge(socat) : nodeBridge(node, node.startsWith('/usr/') ? [] : [node])
}

/** Settings of OpenSSH, which knows no variable for a proxy; without socat it finds none. */
export const sshConfig = (socat = SOCAT): string =>
  existsSync(socat) ? `Host *\n\tProxyCommand ${socat} - PROXY:127.0.0.1:%h:%p,proxyport=${DOOR_PORT}\n` : ''

/** `socat`: the words that run it. */
export const socatBridge = (...socat: readonly string[]): Bridge => ({
  command: withSocat(socat),
  readable: [],
})

/** `readable`: what must stand in the box for that Node to be there. */
export const nodeBridge = (node: string, readable: readonly string[]): Bridge => ({
  command: [node, '-e', NODE_SCRIPT],
  readable,
})

/**
 * The words that start a bridge, and the program as soon as that listens. The bridge is no child of the program and holds none of
 * its streams. A bridge that cannot stand is told on standard error, and by code 126.
 */
export function bridged({ command }: Pick<Bridge, 'command'>, argv: readonly string[]): string[] {
  return ['/bin/sh', '-c', script(command), 'errand', ...argv]
}

const PORT = DOOR_PORT.toString(16).toUpperCase().padStart(4, '0')
/** Looks at the port in a row, then with pauses: half a minute in all. */
const LOOKS = 3_000
const LOOKS_IN_A_ROW = 200

/**
 * Builtins alone, but for pauses. A shell reads byte by byte: the count of sockets, of which there is none before, is a fifth of
 * what the list of them is.
 */
const script = (command: readonly string[]): string => `
errand_bridge=$(
  exec </dev/null 2>/dev/null 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-
  ${command.map(quoted).join(' ')} >/dev/null &
  echo $!
)
errand_looks=0
while :; do
  if [ -r /proc/net/sockstat ]; then
    { read -r _; read -r _ _ errand_state _; } </proc/net/sockstat
    [ "$errand_state" = 0 ] || break
  else
    while read -r _ errand_local _ errand_state _; do
      case $errand_local.$errand_state in *:${PORT}.0A) break 2 ;; esac
    done </proc/net/tcp
  fi
  errand_looks=$((errand_looks + 1))
  if [ "$errand_looks" -gt ${LOOKS} ] || ! kill -0 "$errand_bridge" 2>/dev/null; then
    echo "errand: the way from this sandbox to its proxy could not be opened (${command[0]})" >&2
    exit 126
  fi
  [ "$errand_looks" -le ${LOOKS_IN_A_ROW} ] || /bin/sleep 0.01
done
unset errand_bridge errand_looks errand_local errand_state _
exec "$@"
`

const quoted = (word: string): string => `'${word.replaceAll("'", "'\\''")}'`

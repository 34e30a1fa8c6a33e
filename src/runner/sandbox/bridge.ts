import { existsSync } from 'node:fs'
import { procText } from '../../platform/proc.ts'
import { ENDPOINT_INSIDE, ENDPOINT_PORT } from '../proxy/rules.ts'

/** Names of a bridge's processes, which are not signaled until their box ends. */
const BRIDGE_NAMES: readonly string[] = ['socat', 'errand-bridge']

/** Reports whether a process holds a sandbox up; its end would take everything inside with it. */
export function holdsSandboxUp(pid: number): boolean {
  const name = procText(pid, 'comm')?.trim() ?? ''
  return name === 'bwrap' || BRIDGE_NAMES.includes(name)
}

/** Limit for concurrent connections, each of which is a process of socat; further ones wait. */
const MOST_CONNECTIONS = 256
/** Seconds that a half-closed connection may wait for its answer: a day. */
const HALF_CLOSED_SECONDS = 24 * 60 * 60
const SOCAT_BYTES = 64 * 1024
/**
 * Number of tries to reach the endpoint. A proxy that was killed with its runner returns with it; until then
 * connections wait, and none fails.
 */
const TRIES = 600
const TRIED_EVERY_MS = 100

const SOCAT = '/usr/bin/socat'
const SOCKET = `${ENDPOINT_INSIDE}/proxy`
const withSocat = (words: readonly string[]): readonly string[] => [
  ...[...words, '-t', String(HALF_CLOSED_SECONDS), '-b', String(SOCAT_BYTES)],
  `TCP4-LISTEN:${ENDPOINT_PORT},bind=127.0.0.1,fork,reuseaddr,backlog=128,max-children=${MOST_CONNECTIONS}`,
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
listener.listen(${ENDPOINT_PORT}, '127.0.0.1')
`

/**
 * Carries connections from a box to its endpoint: the words of its command, and the paths that the box needs for it.
 */
export interface Bridge {
  command: readonly string[]
  readable: readonly string[]
}

/** Finds a bridge: socat if it is installed, which is smaller and starts faster, otherwise this Node. */
export function findBridge(socat = SOCAT, node = process.execPath): Bridge {
  return existsSync(socat) ? socatBridge(socat) : nodeBridge(node, node.startsWith('/usr/') ? [] : [node])
}

/** Returns the settings of OpenSSH, which has no variable for a proxy; without socat there is no way for it. */
export const sshConfig = (socat = SOCAT): string =>
  existsSync(socat)
    ? `Host *\n\tProxyCommand ${socat} - PROXY:127.0.0.1:%h:%p,proxyport=${ENDPOINT_PORT}\n`
    : ''

/** Returns a bridge with socat; `socat` holds the words that run it. */
export const socatBridge = (...socat: readonly string[]): Bridge => ({
  command: withSocat(socat),
  readable: [],
})

/** Returns a bridge with Node; `readable` lists the paths that the box needs for that. */
export const nodeBridge = (node: string, readable: readonly string[]): Bridge => ({
  command: [node, '-e', NODE_SCRIPT],
  readable,
})

/**
 * Returns the words that start a bridge, and the program as soon as the bridge listens. The bridge is not a child of
 * the program and holds none of its streams. If the bridge cannot start, standard error and code 126 report that.
 */
export function bridged({ command }: Pick<Bridge, 'command'>, argv: readonly string[]): string[] {
  return ['/bin/sh', '-c', script(command), 'errand', ...argv]
}

const PORT = ENDPOINT_PORT.toString(16).toUpperCase().padStart(4, '0')
/** Number of checks of the port, first without and then with pauses: half a minute in total. */
const CHECKS = 3_000
const CHECKS_IN_A_ROW = 200

/**
 * Builds the script from builtins, except for pauses. A shell reads byte by byte, and the socket count, which is zero
 * at first, is a fifth as long as the socket list.
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
  if [ "$errand_looks" -gt ${CHECKS} ] || ! kill -0 "$errand_bridge" 2>/dev/null; then
    echo "errand: the way from this sandbox to its proxy could not be opened (${command[0]})" >&2
    exit 126
  fi
  [ "$errand_looks" -le ${CHECKS_IN_A_ROW} ] || /bin/sleep 0.01
done
unset errand_bridge errand_looks errand_local errand_state _
exec "$@"
`

const quoted = (word: string): string => `'${word.replaceAll("'", "'\\''")}'`

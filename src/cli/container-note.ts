import { existsSync } from 'node:fs'

const MARKS = ['/.dockerenv', '/run/.containerenv']

/** For a hub that nobody outside its container can reach: published ports do not lead to the container's loopback. */
export function containerNote(url: string, marks = MARKS): string | undefined {
  const { hostname, port } = new URL(url)
  const isLoopback = /^127\.|^localhost$|^\[::1\]$/.test(hostname)
  if (!isLoopback || !marks.some((file) => existsSync(file))) return undefined
  return `Only this container reaches it. For others, and for published ports, set ERRAND_ADDR=0.0.0.0:${port}.`
}

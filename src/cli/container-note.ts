import { existsSync } from 'node:fs'

/** For a hub that nobody outside its container can reach: published ports do not lead to the container's loopback. */
export function containerNote(url: string): string | undefined {
  const isLoopback = /^https?:\/\/(127\.|localhost|\[::1\])/.test(url)
  if (!isLoopback || !['/.dockerenv', '/run/.containerenv'].some((file) => existsSync(file))) return undefined
  return 'Only this container reaches it. For others, and for published ports, set ERRAND_ADDR=0.0.0.0:3000.'
}

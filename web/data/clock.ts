import { useSyncExternalStore } from 'react'

let offsetMs = 0
let now = Date.now()
const readers = new Set<() => void>()
let timer: ReturnType<typeof setInterval> | undefined

/** Adopts the hub's clock, from which ticking times are counted. */
export function setHubTime(timeMs: number): void {
  offsetMs = timeMs - Date.now()
}
export const hubNow = (): number => Date.now() + offsetMs

function listen(call: () => void): () => void {
  readers.add(call)
  timer ??= setInterval(() => {
    if (document.hidden) return
    now = hubNow()
    for (const reader of readers) reader()
  }, 1000)
  return () => {
    readers.delete(call)
    if (readers.size > 0) return
    clearInterval(timer)
    timer = undefined
  }
}

/** Returns the hub's time, updated each second by one timer for the whole page. */
export function useNow(): number {
  return useSyncExternalStore(listen, () => now)
}

const two = (value: number) => String(value).padStart(2, '0')

/** Formats a duration as `0:04`, `14:31` or `21:06:11`; below ten seconds as `3.1 s` or `31 ms`. */
export function duration(ms: number): string {
  if (ms < 0) return '0:00'
  if (ms < 95) return `${Math.round(ms)} ms`
  if (ms < 10_000) return `${(ms / 1000).toFixed(1)} s`
  return clockOf(ms)
}

/** Formats a ticking duration in whole seconds. */
export function clockOf(ms: number): string {
  const all = Math.max(0, Math.floor(ms / 1000))
  const [hours, minutes, seconds] = [Math.floor(all / 3600), Math.floor(all / 60) % 60, all % 60]
  return hours > 0 ? `${hours}:${two(minutes)}:${two(seconds)}` : `${minutes}:${two(seconds)}`
}

const days = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat']
const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']
const midnight = (date: Date) => new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime()

/** Formats a day as `today`, `yesterday` or `Fri 20 Nov`, in the reader's time zone. */
export function dayOf(time: string, nowMs: number): string {
  const date = new Date(time)
  const behind = Math.round((midnight(new Date(nowMs)) - midnight(date)) / 86_400_000)
  if (behind <= 0) return 'today'
  if (behind === 1) return 'yesterday'
  return `${days[date.getDay()]} ${date.getDate()} ${months[date.getMonth()]}`
}

/** Formats a time as `11:42:07` if it is today, otherwise as `Fri 20 Nov 18:23`. */
export function timeOf(time: string, nowMs: number): string {
  const date = new Date(time)
  const clock = `${two(date.getHours())}:${two(date.getMinutes())}`
  const day = dayOf(time, nowMs)
  return day === 'today' ? `${clock}:${two(date.getSeconds())}` : `${day} ${clock}`
}

/** Formats a time with its zone and in UTC, for a tooltip. */
export function exactTime(time: string): string {
  const date = new Date(time)
  return `${date.toString()} · ${date.toISOString()}`
}

/** Returns the median of durations in ms, or undefined if there are none. */
export function median(values: readonly number[]): number | undefined {
  const all = [...values].sort((a, b) => a - b)
  return all[Math.floor((all.length - 1) / 2)]
}

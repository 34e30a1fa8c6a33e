import { useQuery, useQueryClient } from '@tanstack/react-query'
import { useEffect } from 'react'
import type { Health } from '../../src/contract/run-api.ts'
import { ask } from '../data/api.ts'
import { liveRuns } from '../data/live/live.ts'
import { safeNext } from '../data/session.ts'
import { navigation, useSearch } from '../navigation/navigation.tsx'
import { Wordmark } from '../parts/mark.tsx'
import { LoginForm } from './login-form.tsx'

export function LoginPage() {
  const { next } = useSearch('/login')
  const client = useQueryClient()
  const { data: health } = useQuery({ queryKey: ['health'], queryFn: () => ask<Health>('GET', '/health') })
  useEffect(() => {
    document.title = 'Log in · Errand'
  }, [])
  const done = () => {
    client.clear()
    liveRuns.announceSessionBack()
    void navigation.go(safeNext(next))
  }
  return (
    <main className="relative flex min-h-full flex-col items-center justify-center overflow-hidden px-4 py-10">
      <svg
        aria-hidden="true"
        className="absolute inset-0 h-full w-full max-lg:hidden"
        viewBox="0 0 1440 900"
        preserveAspectRatio="xMidYMid slice"
        fill="none"
        stroke="var(--line2)"
        strokeWidth="2"
        strokeLinecap="round"
      >
        <path d="M-40 640C230 640 270 450 495 450" />
        <path d="M943 450C1168 450 1190 260 1480 260" strokeDasharray="0.5 7" strokeWidth="3" />
        <g stroke="none" fill="var(--ok)">
          <circle cx="174" cy="588" r="5" />
          <circle cx="302" cy="507.7" r="5" />
        </g>
        <g fill="var(--canvas)">
          <circle cx="1138" cy="388.2" r="4.5" />
          <circle cx="1266" cy="307.2" r="4.5" />
        </g>
      </svg>
      <h1 className="mb-6" aria-label="Errand: log in">
        <Wordmark large />
      </h1>
      <div className="relative w-full max-w-[360px] rounded-[14px] border border-line bg-surface p-6">
        <LoginForm done={done} />
      </div>
      <p className="relative mt-4 max-w-[360px] text-center text-meta text-ink2">
        First time? The hub printed the first user's password when it started. If you lost it:{' '}
        <code className="font-mono">errand users password admin</code>
      </p>
      <p className="relative mt-6 flex gap-3 text-label text-ink3">
        <span>{location.host}</span>
        <span>{health?.version}</span>
      </p>
    </main>
  )
}

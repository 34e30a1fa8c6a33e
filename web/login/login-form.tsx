import { Eye, EyeOff } from 'lucide-react'
import { type FormEvent, useState } from 'react'
import { ApiError } from '../data/api.ts'
import { logIn } from '../data/session.ts'
import { Failure } from '../parts/action-button.tsx'

/** Asks for name and password; calls `done` once the hub has set its cookie. */
export function LoginForm({ name, done }: { name?: string; done: () => void }) {
  const [failure, setFailure] = useState<ApiError>()
  const [busy, setBusy] = useState(false)
  const [shown, setShown] = useState(false)
  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    if (busy) return
    const form = new FormData(event.currentTarget)
    setBusy(true)
    try {
      await logIn(String(form.get('username')), String(form.get('password')))
      done()
    } catch (error) {
      setFailure(error instanceof ApiError ? error : undefined)
      setBusy(false)
    }
  }
  const Icon = shown ? EyeOff : Eye
  return (
    <form onSubmit={submit} className="flex flex-col">
      {failure !== undefined && (
        <div className="mb-4">
          <Failure error={failure} />
        </div>
      )}
      <label className="mb-1.5 font-medium" htmlFor="login-name">
        Name
      </label>
      <input
        id="login-name"
        name="username"
        className="field mb-4 h-[38px] text-[0.9375rem]"
        autoComplete="username"
        autoCapitalize="none"
        spellCheck={false}
        defaultValue={name}
        // biome-ignore lint/a11y/noAutofocus: the form is all that its page has
        autoFocus={name === undefined}
        required
      />
      <label className="mb-1.5 font-medium" htmlFor="login-password">
        Password
      </label>
      <div className="relative mb-4">
        <input
          id="login-password"
          name="password"
          type={shown ? 'text' : 'password'}
          className="field h-[38px] w-full pr-10 text-[0.9375rem]"
          autoComplete="current-password"
          // biome-ignore lint/a11y/noAutofocus: the name is there already
          autoFocus={name !== undefined}
          required
        />
        <button
          type="button"
          aria-label={shown ? 'Hide password' : 'Show password'}
          className="absolute inset-y-0 right-0 flex w-10 items-center justify-center text-ink2"
          onClick={() => setShown(!shown)}
        >
          <Icon size={16} strokeWidth={1.75} aria-hidden />
        </button>
      </div>
      <button type="submit" className="button button-main h-10 text-[0.9375rem]" aria-disabled={busy}>
        {busy ? 'Logging in…' : 'Log in'}
      </button>
    </form>
  )
}

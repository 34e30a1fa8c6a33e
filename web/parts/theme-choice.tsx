import { chooseTheme, type Theme, useTheme } from '../data/preferences.ts'

const themes: readonly Theme[] = ['system', 'light', 'dark']

/** Three themes, of which one is pressed. */
export function ThemeChoice({ className = '' }: { className?: string }) {
  const theme = useTheme()
  return (
    <fieldset className={`flex rounded-lg bg-idle p-0.5 ${className}`}>
      <legend className="sr-only">Theme</legend>
      {themes.map((one) => (
        <button
          key={one}
          type="button"
          aria-pressed={theme === one}
          className="h-6 flex-1 rounded-md px-3 text-meta text-ink2 aria-pressed:bg-surface aria-pressed:font-medium aria-pressed:text-ink max-sm:h-11"
          onClick={() => chooseTheme(one)}
        >
          {one}
        </button>
      ))}
    </fieldset>
  )
}

// How the UI is built into the server's package, and served while it is worked on.
import react from '@vitejs/plugin-react'
import { defineConfig } from 'vitest/config'

const backend = process.env['ISTHMUS_BACKEND'] ?? 'http://127.0.0.1:8080'

export default defineConfig({
  plugins: [react()],
  build: {
    outDir: '../src/isthmus/server/ui',
    emptyOutDir: true,
    // Inlined files would need exceptions in the content security policy.
    assetsInlineLimit: 0,
    target: 'es2022',
  },
  server: { proxy: { '/api': { target: backend, ws: true } } },
  test: { environment: 'happy-dom', include: ['src/**/*.test.{ts,tsx}'] },
})

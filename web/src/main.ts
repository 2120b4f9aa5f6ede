// The app's start: token from the address, then the shell.
import { mount } from 'svelte';
import App from './App.svelte';
import './app.css';
import { theme } from './lib/theme.svelte';
import { session } from './stores/session.svelte';

theme.apply();
session.begin();
const target = document.getElementById('app');
if (target) mount(App, { target });

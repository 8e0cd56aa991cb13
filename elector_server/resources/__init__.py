"""What is served: parse, call the elector, render. No decisions are made here."""

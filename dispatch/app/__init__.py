"""The composition root of dispatch: the only place that reads settings and knows concrete classes."""

"""Plain nn.Module builders."""
